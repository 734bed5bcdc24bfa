"""The provider table: one row for each protocol, and beside it one file for each.

Whatever lists providers is made from the table: `freeproviders.__all__`, the command line, the
replicas and their pytest fixtures. The page "Adding a protocol" of the documentation says what a
new row needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:  # type checkers read no table; a test compares the two
    from freeproviders.provider import Provider
    from freeproviders.providers.ai_chat_free import AIChatFree as AIChatFree
    from freeproviders.providers.chatgpt_free import ChatgptFree as ChatgptFree
    from freeproviders.providers.embedded import Embedded as Embedded
    from freeproviders.providers.flow_gpt import FlowGpt as FlowGpt
    from freeproviders.providers.free_netfly import FreeNetfly as FreeNetfly
    from freeproviders.providers.openai_compatible import OpenAICompatible as OpenAICompatible


class Row(NamedTuple):
    """One provider: its slug, and the places of its classes as "module:Class"."""

    slug: str
    provider: str
    """In a module of `freeproviders.providers`."""
    replica: str = ""
    """In a module of `freeproviders.testing.services`; "" where there is none."""

    @property
    def name(self) -> str:
        """The name of the provider and of its class."""
        return self.provider.partition(":")[2]

    @property
    def module(self) -> str:
        """The module of the class, below `freeproviders`."""
        return f"providers.{self.provider.partition(':')[0]}"


PROVIDERS: Final = (
    Row("embedded", "embedded:Embedded"),
    Row("openai-compatible", "openai_compatible:OpenAICompatible", "openai:OpenAIService"),
    Row("free-netfly", "free_netfly:FreeNetfly", "free_netfly:FreeNetflyService"),
    Row("chatgpt-free", "chatgpt_free:ChatgptFree", "chatgpt_free:ChatgptFreeService"),
    Row("flow-gpt", "flow_gpt:FlowGpt", "flow_gpt:FlowGptService"),
    Row("ai-chat-free", "ai_chat_free:AIChatFree", "ai_chat_free:AIChatFreeService"),
)


def find_provider(name: str) -> Row | None:
    """Find a row by slug or name, in any case and with any hyphens; None if there is none."""
    wanted = _squeezed(name)
    return next((row for row in PROVIDERS if wanted in {_squeezed(row.slug), _squeezed(row.name)}), None)


def load_provider(row: Row) -> type[Provider]:
    """Import the provider class of a row, and no other."""
    cls: type[Provider] = getattr(import_module(f"freeproviders.{row.module}"), row.name)
    return cls


def _squeezed(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
