"""What a router does, told to LangChain's callbacks, and where its members' runs belong.

A router says before each attempt which member it asks, after it what became of it, and where another
answer goes on. Each becomes a custom event of the run that asked it: `freeproviders_asking`,
`freeproviders_attempt`, `freeproviders_failover` and `freeproviders_seam`.

Sync handlers run on the caller's thread, so that events come with the next piece of the answer or
with its end. Async ones are called at once. Either way an event comes before what follows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Self
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManager,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManager,
)
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models.base import BaseLanguageModel
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langchain_core.tracers.base import BaseTracer
from langchain_core.utils.uuid import uuid7

from freeproviders.errors import FreeProvidersError
from freeproviders.types import Admitted, Asking, Attempt, Batch, Event, Seam

Told = Asking | Attempt | Seam
"""What a router tells a listener."""


class Run:
    """A run of LangChain's in which a router is asked, in sync code."""

    def __init__(self, manager: BaseCallbackManager, run_id: UUID) -> None:
        self._manager = manager
        self._run_id = run_id
        self._told: list[Told] = []
        self._failed: Attempt | None = None

    @classmethod
    def of(cls, manager: BaseRunManager) -> Self:
        """Return the run that LangChain has begun."""
        known = AsyncCallbackManager if issubclass(cls, AsyncRun) else CallbackManager
        copied = known(
            handlers=manager.handlers,
            inheritable_handlers=manager.inheritable_handlers,
            tags=manager.tags,
            inheritable_tags=manager.inheritable_tags,
            metadata=manager.metadata,
            inheritable_metadata=manager.inheritable_metadata,
        )
        return cls(copied, manager.run_id)

    @classmethod
    def ahead(cls, model: BaseLanguageModel[Any], config: RunnableConfig, run_id: UUID) -> Self:
        """Return the run that LangChain is about to begin with a config and an id."""
        known: Any = AsyncCallbackManager if issubclass(cls, AsyncRun) else CallbackManager
        manager = known.configure(
            config.get("callbacks"),
            model.callbacks,
            model.verbose,
            config.get("tags"),
            model.tags,
            config.get("metadata"),
            model.metadata,
        )
        return cls(manager, run_id)

    @classmethod
    def without_callbacks(cls) -> Self:
        """Return a run without callbacks."""
        return cls(CallbackManager(handlers=[]), uuid7())

    @property
    def listens(self) -> bool:
        """Whether a callback handler takes custom events."""
        return any(not handler.ignore_custom_event for handler in self._manager.handlers)

    @property
    def child(self) -> RunnableConfig:
        """The config for runs of members below this one.

        Only tracers see them: handlers that show pieces or count tokens would do so twice.
        """
        manager = CallbackManager(handlers=[], parent_run_id=self._run_id)
        manager.set_handlers(_tracers(self._manager.inheritable_handlers))
        manager.add_tags(self._manager.inheritable_tags)
        manager.add_metadata(self._manager.inheritable_metadata)
        return {"callbacks": manager}

    # --- on the loop that answers ---

    def hear(self, told: Event) -> None:
        """Take what the router tells, without admissions; it must not wait."""
        if not isinstance(told, Admitted):
            self.keep(told)

    def keep(self, told: Told) -> None:
        """Keep what the handlers are to hear."""
        self._told.append(told)

    async def heard(self, batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
        """Stream an answer with what was told in its place, before what follows it."""
        async with aclosing(batches):
            try:
                async for batch in batches:
                    yield self._with_events(batch) if self._told else batch
            except FreeProvidersError:
                if self._told:
                    yield self._with_events([])
                raise

    def _with_events(self, batch: Batch) -> Batch:
        told, self._told = self._told, []
        return [*told, *batch]  # type: ignore[list-item]  # for a writer that knows them

    # --- on the caller's thread ---

    def tell(self, told: Told) -> None:
        """Call the handlers."""
        for name, data in self._events(told):
            self._manager.on_custom_event(name, data, run_id=self._run_id)  # type: ignore[attr-defined]

    def tell_all(self) -> None:
        """Call the handlers for what they have not heard yet, of an answer that is not streamed."""
        told, self._told = self._told, []
        for one in told:
            self.tell(one)

    def _events(self, told: Told) -> list[tuple[str, dict[str, Any]]]:
        """Return the names and the data of the events for what was told."""
        match told:
            case Asking():
                asking = ("freeproviders_asking", told.plain())
                if (failed := self._failed) is None:
                    return [asking]
                self._failed = None
                changed = {"broken": _name(failed), "source": _name(told), "error": failed.error}
                return [("freeproviders_failover", changed), asking]
            case Attempt():
                self._failed = told if told.error else None
                return [("freeproviders_attempt", told.plain())]
            case Seam():
                return [("freeproviders_seam", told.plain())]


class AsyncRun(Run):
    """A run of LangChain's in which a router is asked, on an event loop."""

    def __init__(self, manager: BaseCallbackManager, run_id: UUID) -> None:
        super().__init__(manager, run_id)
        self._telling: asyncio.Task[None] | None = None
        self._waiting: list[Told] = []

    def keep(self, told: Told) -> None:
        """Keep what the handlers are to hear as soon as the loop has a turn."""
        self._waiting.append(told)
        if isinstance(told, Seam):
            super().keep(told)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell_waiting())

    async def heard(self, batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
        """Stream an answer; handlers get an event before what follows it is shown."""
        try:
            async with aclosing(super().heard(batches)) as others:
                async for batch in others:
                    if self._telling is not None:
                        await self.settled()
                    yield batch
        finally:
            await self.settled()

    async def settled(self) -> None:
        """Wait until all handlers have heard all."""
        while (telling := self._telling) is not None:
            await telling
            if self._telling is telling:
                self._telling = None

    def tell(self, told: Told) -> None:
        """Do nothing: the handlers have heard it."""

    async def _tell_waiting(self) -> None:
        while self._waiting:
            for name, data in self._events(self._waiting.pop(0)):
                await self._manager.on_custom_event(name, data, run_id=self._run_id)  # type: ignore[attr-defined]


async def below(config: RunnableConfig, batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
    """Stream an answer; the runs of members that are LangChain models are below a run.

    The variables by which LangChain tells that, and those by which it adds handlers to every run, are
    changed only while the answer is waited for: the code that reads the stream sees none of it.
    """
    # With it comes LangSmith, which LangChain itself does not import before the first call.
    from langchain_core.tracers.context import _configure_hooks  # noqa: PLC0415

    others = [var for var, *_ in _configure_hooks if _is_no_tracer(var.get())]
    async with aclosing(batches):
        while True:
            token = var_child_runnable_config.set(config)
            hidden = [(var, var.set(None)) for var in others]
            try:
                batch = await batches.__anext__()
            except StopAsyncIteration:
                return
            finally:
                var_child_runnable_config.reset(token)
                for var, before in hidden:
                    var.reset(before)
            yield batch


def _is_no_tracer(handler: object) -> bool:
    return isinstance(handler, BaseCallbackHandler) and not isinstance(handler, BaseTracer)


def _tracers(handlers: Sequence[BaseCallbackHandler]) -> list[BaseCallbackHandler]:
    return [
        handler
        for handler in handlers
        if isinstance(handler, BaseTracer) and not isinstance(handler, _StreamingCallbackHandler)
    ]


def _name(one: Asking | Attempt) -> str:
    return f"{one.provider}/{one.model}" if one.model else one.provider
