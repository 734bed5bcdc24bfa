"""What a gateway serves: the models by their names, and an embedder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from freeproviders.backend import Backend
from freeproviders.errors import UsageError
from freeproviders.gateway.refusals import Refusal

if TYPE_CHECKING:
    from freeproviders.embeddings.embedder import Embedder
    from freeproviders.router.member import Member
    from freeproviders.router.router import FreeProviders

AUTO: Final = "auto"
"""The model's name that leaves the choice of the model to the gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model in the list: its id, whose it is, and what it does."""

    id: str
    owner: str
    kind: str = "chat"
    window: int | None = None
    size: int | None = None

    def document(self, created: int) -> dict[str, Any]:
        """Write it as an item of `/v1/models`."""
        facts = {"kind": self.kind, "context_window": self.window, "dimensions": self.size}
        return {
            "id": self.id,
            "object": "model",
            "created": created,
            "owned_by": self.owner,
            "freeproviders": {name: value for name, value in facts.items() if value is not None},
        }


class Served:
    """The models of a gateway.

    A router is served with all its members, any other backend with its one model. `embedder` makes
    the vectors, None where there are none.
    """

    def __init__(self, backend: Backend, embedder: Embedder | None) -> None:
        self.backend = backend
        self.embedder = embedder
        self.created = int(time.time())
        self._router = _router(backend)

    async def models(self) -> list[Model]:
        """List the models; of a router, the one that leaves it the choice comes first."""
        backend = self.backend
        owner = _owner(backend)
        out = [Model(id=AUTO, owner=owner, window=backend.window_of())]
        if self._router is not None:
            out += [
                Model(id=one.name, owner=_owner(one.backend), window=one.backend.window_of(one.model or None))
                for one in await self._router.all_members()
            ]
        else:
            out += [Model(id=name, owner=owner, window=backend.window_of()) for name in self._own_names()[:1]]
        if self.embedder is not None:
            size = self.embedder.family.size
            name = vectors_id(self.embedder)
            out.append(Model(id=name, owner=self.embedder.slug, kind="embedding", size=size))
        return out

    async def model(self, name: str) -> Model:
        """Find a model of the list. Raises `Refusal`."""
        for model in await self.models():
            if model.id == name:
                return model
        raise _unknown(name, [model.id for model in await self.models()])

    async def asked(self, name: str) -> str | None:
        """Return the model that a request must name for what its client has named; None for any.

        Raises `Refusal` for an unknown name.
        """
        if name in {"", AUTO}:
            return None
        if self._router is None:
            if name in self._own_names():
                return None
            raise _unknown(name, [AUTO, *self._own_names()[:1]])
        members = await self._router.all_members()
        if not _answering(members, name):
            raise _unknown(name, [AUTO, *(member.name for member in members)])
        return name

    def vectors(self, name: str) -> Embedder:
        """Return the embedder of a model. Raises `Refusal` where there is none."""
        if self.embedder is None:
            raise Refusal(
                404,
                "This gateway makes no vectors: start it with --embeddings, such as --embeddings offline.",
                code="model_not_found",
                param="model",
            )
        known = vectors_id(self.embedder)
        if name in {known, self.embedder.model, f"{self.embedder.slug}/{self.embedder.model}"}:
            return self.embedder
        # No word for whatever is there: vectors of two models must not be mixed in an index.
        raise _unknown(name, [known], what="Vectors belong to the model that made them.")

    def _own_names(self) -> list[str]:
        """Return the names of a backend's one model: its own first, and with the service's before it."""
        backend = self.backend
        slug = _owner(backend)
        if not backend.model:
            return [slug]
        return [backend.model, f"{slug}/{backend.model}", slug]


def vectors_id(embedder: Embedder) -> str:
    """Return the id under which an embedder's model is served."""
    return embedder.model or embedder.slug


def _owner(backend: Backend) -> str:
    service = getattr(backend, "service", None)
    return getattr(service, "id", "") or backend.slug or backend.name


def _router(backend: Backend) -> FreeProviders | None:
    from freeproviders.router.router import FreeProviders  # noqa: PLC0415 - one provider needs no router

    return backend if isinstance(backend, FreeProviders) else None


def _answering(members: Sequence[Member], name: str) -> bool:
    from freeproviders.router.match import of_that_name  # noqa: PLC0415 - as above

    try:
        return bool(of_that_name(members, name, ""))
    except UsageError:
        return False


def _unknown(name: str, known: Sequence[str], *, what: str = "") -> Refusal:
    return Refusal(
        404,
        " ".join(
            filter(None, (f"The model {name!r:.200} does not exist here.", what, f"Use {_listed(known)}."))
        ),
        code="model_not_found",
        param="model",
    )


def _listed(names: Sequence[str]) -> str:
    """Write names for an error: the first of many."""
    shown = ", ".join(names[:8])
    return f"one of {shown} and {len(names) - 8} more, see /v1/models" if len(names) > 8 else shown
