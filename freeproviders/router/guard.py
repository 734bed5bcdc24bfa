"""What an answer shows of the account that asked: that it is billed, or that another model answered.

The rows say what is free; this looks at what came. It proves nothing where a service says nothing.
"""

from __future__ import annotations

from freeproviders.errors import ProviderError
from freeproviders.router.member import Member
from freeproviders.types import Finish, Usage


def reason(member: Member, finish: Finish, usage: Usage | None) -> str:
    """Return why a member must not be asked again after an answer, "" where all is right."""
    del member, finish, usage
    return ""


def reason_of_refusal(member: Member, error: ProviderError) -> str:
    """Return why a member must not be asked again after a refusal, "" where all is right."""
    del member, error
    return ""
