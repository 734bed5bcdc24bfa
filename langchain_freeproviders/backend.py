"""The field of the models over a backend that the caller made."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterable
from typing import Any, Final, Self
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from pydantic import Field

from freeproviders.backend import Backend
from freeproviders.configuration import CONFIGURATION, without_login
from freeproviders.errors import UsageError
from freeproviders.provider import Provider
from langchain_freeproviders.keywords import SECOND_NAMES
from langchain_freeproviders.settings import BackendSettings


class GivenBackend(BackendSettings):
    """The settings of a request, and a backend that the caller made."""

    backend: Any = Field(exclude=True)
    """A `freeproviders.Backend`, or any object with `name`, `model` and `batches(request)`."""

    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        configuration = [name for name in values if SECOND_NAMES.get(name, name) in CONFIGURATION]
        if configuration:
            raise UsageError(
                f"{', '.join(configuration)} belongs to the backend: configure the backend, or pass it with "
                "a call.",
                provider=cls.__name__,
            )
        return super()._named(values)

    def _made_backend(self) -> Backend:
        return Backend.of(self.backend)

    def _made_settings(self) -> dict[str, Any]:
        return {**super()._made_settings(), **({"model": self.model_name} if self.model_name else {})}

    def _made_identity(self) -> dict[str, Any]:
        cls = type(self.backend)
        return {**super()._made_identity(), "backend": f"{cls.__module__}.{cls.__qualname__}"}

    def _identity_of_the_backend(self) -> object:
        own = getattr(self.backend, "identity", None)
        # A service is known by its address. Of a foreign object nothing is known.
        return _token(self.backend) if own is None and not isinstance(self.backend, Provider) else own

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, self._backend.name if name == "backend" else value

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A backend is shared by all copies, as connections and what was learned of the service are.
        return super().__deepcopy__({id(self.backend): self.backend, **(memo or {})})


def identity_of(member: Any) -> str:
    """Return what tells a member of a router from others, in caches and traces, without secrets."""
    if isinstance(member, str):
        return member
    own: object
    if isinstance(member, BaseChatModel):
        own = hashlib.sha256(member._get_llm_string().encode()).hexdigest()  # noqa: SLF001 - as a cache does
        # What cannot be saved may have settings that its string does not tell.
        itself = "" if member.is_lc_serializable() else _token(member)
        return f"{type(member).__qualname__} {own} {itself}".rstrip()
    own = getattr(member, "identity", None)
    if own is None and not isinstance(member, Provider):
        own = _token(member)
    address = without_login(getattr(member, "base_url", "") or "")
    return " ".join(str(fact) for fact in (type(member).__qualname__, member.model, address, own) if fact)


_TOKENS: Final[dict[int, str]] = {}


def _token(thing: object) -> str:
    """Return a name that no other object ever has, in no process; the same while the object lives."""
    if (token := _TOKENS.get(id(thing))) is not None:
        return token
    token = uuid4().hex
    try:
        end = weakref.finalize(thing, _TOKENS.pop, id(thing), None)
    except TypeError:
        return token  # its end would not be seen: another object may get its id
    end.atexit = False
    return _TOKENS.setdefault(id(thing), token)
