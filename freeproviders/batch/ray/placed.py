"""A backend that is asked on every node of a Ray cluster."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from freeproviders.abilities import Abilities, Askable
from freeproviders.backend import Backend
from freeproviders.batch.ray.loading import check_ray, ray_module
from freeproviders.batch.ray.nodes import Node, Nodes
from freeproviders.batch.ray.travel import packed
from freeproviders.checks import check_request
from freeproviders.configuration import Configuration
from freeproviders.errors import ProviderConnectionError, ProviderError, UsageError
from freeproviders.types import Admitted, Batch, ChatRequest

if TYPE_CHECKING:
    from freeproviders.catalogue.rows import Service
    from freeproviders.quota.meter import Meter

_TRIED: Final = 3
"""How many nodes a question is sent to at most, one after another that does not answer."""


class OnRay(Backend):
    """A backend that is asked on the nodes of a Ray cluster, each question on the least busy one.

    Each node asks with the keys and addresses of its own environment, so that `localhost` is a
    server on that node. Limits are kept there as everywhere: several machines need one ledger, a
    Redis URL in `FREEPROVIDERS_QUOTA`. Where a node is lost, its questions are asked on another one.

    Args:
        backend: the backend that is asked there. A key that was not read from the environment is
            refused, since Ray keeps what it is given in clear.
        address: the cluster: "auto" for the one that was started on this machine with `ray start`,
            or host:port. A process that is connected to a cluster stays with it.

    Raises:
        MissingDependencyError: the package ray is not installed.
        UsageError: the backend has secrets of its own, or cannot be written.
    """

    announces_admission = True

    def __init__(self, backend: Backend | Askable, *, address: str = "auto") -> None:
        check_ray()
        if not isinstance(address, str) or not address or "://" in address:
            raise UsageError(f'address must be "auto" or host:port, not {address!r:.200}.')
        self._here = here = Backend.of(backend)
        self._address = address
        self.name, self.slug, self.model = here.name, here.slug, here.model
        self.retry, self.base_url = here.retry, here.base_url
        self._nodes = Nodes(packed(here), address)

    def __repr__(self) -> str:
        return f"OnRay({self._here!r}, address={self._address!r})"

    @property
    def nodes(self) -> list[str]:
        """The addresses of the nodes that are asked; known after the first question."""
        return [node.address for node in self._nodes]

    @property
    def keeps_limits(self) -> bool:
        """Whether a question may have to wait for room among limits on its node."""
        return self._here.keeps_limits

    @property
    def most_waiting(self) -> int:
        """How many questions may wait for room among limits: one for each node that is asked now.

        The word that one has its room comes from its node, which takes longer than the room.
        """
        return max(1, len(self.nodes))

    async def usual_in_flight(self) -> int:
        """Connect to the cluster, and say how many questions suit all of its nodes together.

        Raises `ClusterError` where there is no cluster, or none of its nodes can ask.
        """
        await self._nodes.pick()
        return max(1, len(self.nodes)) * await self._here.usual_in_flight()

    def abilities(self, model: str | None = None) -> Abilities:
        """Return what the backend can do."""
        return self._here.abilities(model or self.model)

    def window_of(self, model: str | None = None) -> int | None:
        """Return the context window of a model in tokens; None where it is not known."""
        return self._here.window_of(model or self.model)

    def model_to_ask(self, model: str | None = None) -> str:
        """Return the name that a request carries for a model; None is the default model."""
        return self._here.model_to_ask(model)

    def asked_as(self, model: str | None = None) -> str:
        """Say what a question is asked for: the same as on one machine, so that its answers count here."""
        return self._here.asked_as(model)

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        """Return a copy whose backend is reached in another way."""
        return self._placing(self._here.configured(**changes))

    def with_abilities(self, **changes: Any) -> Self:
        """Return a copy whose backend claims other abilities."""
        return self._placing(self._here.with_abilities(**changes))

    def asked_backends(self) -> tuple[Backend, ...]:
        """Return the backends that are asked on each node."""
        return self._here.asked_backends()

    async def metered(self) -> Meter | None:
        """Return the way to the ledger, which all nodes share."""
        return await self._here.metered()

    def services(self) -> list[Service]:
        """Return the services that may be asked, as far as they are in the catalogue."""
        return self._here.services()

    def without(self, unwanted: Callable[[Service], bool]) -> Self:
        """Return a copy whose backend asks none of the services for which `unwanted` is true."""
        changed = self._here.without(unwanted)
        return self if changed is self._here else self._placing(changed)

    def _placing(self, backend: Backend) -> Self:
        return type(self)(backend, address=self._address)

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the answer of a node; the same as `answer`."""
        return self.answer(request)

    def answer(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the answer of a node: in one piece, unless the request says that it is streamed.

        Raises:
            UsageError: at the call itself.
            ClusterError: while iterating: there is no cluster, or none of its nodes can ask.
            ProviderConnectionError: while iterating: no node is left, or none of them answers.
            ProviderError: while iterating, as the backend raises it.
            OutputError: while iterating, as the backend raises it.
        """
        check_request(request, self._here.accepted_options)
        return self._answered(request)

    async def _answered(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        tried: list[Node] = []
        problem: Exception | None = None
        while len(tried) < _TRIED and (node := await self._nodes.pick(tried)) is not None:
            tried.append(node)
            shown = False
            try:
                async for batch in self._asked(node, request):
                    shown = True
                    yield batch
            except ProviderConnectionError as error:
                node.failed()
                if shown:
                    raise
                problem = error
            except _Lost as error:
                self._nodes.lost(node)
                if shown:
                    raise self._gone(error) from error.__cause__
                problem = error
            else:
                node.worked()
                return
        if isinstance(problem, ProviderConnectionError):
            raise problem
        raise self._gone(problem) from (problem and problem.__cause__)

    def _gone(self, problem: Exception | None) -> ProviderConnectionError:
        why = f" {problem}" if problem else ""
        return ProviderConnectionError(
            f"No node of the Ray cluster answers.{why}", provider=self.name, model=self.model, advice=""
        )

    async def _asked(self, node: Node, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Ask one node. Raises `_Lost` where the node or its process is gone."""
        ray = ray_module()
        if self._nodes.is_over:  # Ray would connect by itself, on this event loop
            raise _Lost("The program ended its connection to the cluster.")
        tell = request.listener
        sent = replace(request, model=request.model or self.model or None, listener=None, patience=None)
        node.begin()
        items = None
        try:
            items = node.actor.ask.options(num_returns="streaming").remote(sent, tell is not None)
            if tell is not None and not self._here.announces_admission:
                tell(Admitted(self.name, sent.model or ""))
            async for ref in items:
                item: Any = await ref
                if isinstance(item, list):
                    yield item
                elif isinstance(item, Exception):
                    items = None
                    item.add_note(f"It was asked on the node {node.address}.")
                    raise item
                elif tell is not None:
                    tell(item)
            items = None
        except ray.exceptions.RayTaskError as error:
            raise ProviderError(
                f"The answer could not be brought from the node {node.address}: {error.cause}",
                provider=self.name,
                model=self.model,
            ) from error
        except ray.exceptions.RayError as error:
            raise _Lost(f"The node {node.address} was lost.") from error
        finally:
            node.running -= 1
            if items is not None and ray.is_initialized():  # else Ray would connect again for it
                ray.cancel(items)


class _Lost(Exception):  # noqa: N818 - never seen outside
    """A node or its process is gone."""
