"""A chain whose outputs are kept, so that a long evaluation goes on where it was ended."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Sized,
)
from contextlib import aclosing, closing
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar, cast, overload

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.base import RunnableLike, coerce_to_runnable
from langchain_core.runnables.config import ensure_config, get_config_list, merge_configs, patch_config
from langchain_core.runnables.graph import Graph
from langchain_core.runnables.utils import ConfigurableFieldSpec
from langchain_core.utils.pydantic import TypeBaseModel
from pydantic import BaseModel, ConfigDict, Field

from freeproviders.answers.store import AnswerStore
from freeproviders.batch.resumable import IN_FLIGHT, Outcome, Resumable
from freeproviders.errors import FreeProvidersError, UsageError
from langchain_freeproviders.errors import translated, translating
from langchain_freeproviders.values import values_of

Input = TypeVar("Input")
Output = TypeVar("Output")

_NOT_DECIDING: Final = ("__", "checkpoint_")
"""How names of LangGraph's own begin in a configuration."""


def resumable(
    chain: RunnableLike[Input, Output],
    *,
    name: str,
    store: str | Path | AnswerStore | None = None,
    types: Sequence[type[Any]] = (),
    dedupe: bool = False,
    again: bool = False,
) -> ResumableRunnable[Input, Output]:
    """Return a chain whose outputs are kept on disk by their inputs, so that no input is asked twice.

    It is a Runnable like the chain, with its configuration, callbacks and traces. `batch`, `abatch`,
    `batch_as_completed` and `abatch_as_completed` also take inputs one by one from any iterable, so
    that memory holds what is in flight. What was answered before the process ended is answered from
    the store at the next start.

    Args:
        chain: any Runnable, or a function that LangChain makes one of.
        name: what is asked, with its version. The chain itself is no part of a key: take another
            name when you change it.
        store: a path, a `redis://` URL, "memory", or a `freeproviders.answers.AnswerStore`; None is
            `FREEPROVIDERS_ANSWERS`, else the user's own file.
        types: classes of inputs and outputs beside LangChain's messages, documents and answers:
            models of pydantic, dataclasses, named tuples, enumerations. That of a typed answer is
            known.
        dedupe: whether equal inputs of a batch are one question; else each is asked.
        again: whether inputs whose errors are kept are asked once more.

    Raises:
        UsageError: the name is empty, or one of `types` cannot be kept.
        AnswerStoreError: there can be no store at that place.

    Examples:
        ```python
        chain = prompt | ChatFreeProviders() | StrOutputParser()
        kept = resumable(chain, store="eval.db", name="rag-v1")
        async for index, output in kept.abatch_as_completed(questions, concurrency=8):
            print(index, output)
        ```
    """
    return ResumableRunnable(
        bound=coerce_to_runnable(chain),
        name=name,
        store=store,
        types=tuple(types),
        dedupe=dedupe,
        again=again,
    )


class ResumableRunnable(RunnableSerializable[Input, Output]):
    """A Runnable whose outputs are kept by their inputs; `resumable` makes one.

    A run of it in a trace has a run of the chain below it where the chain was asked, and none where
    the output was kept. `stream` gives the whole output at once.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    bound: Runnable[Input, Output]
    """The runnable that is asked."""
    name: str
    """What is asked, with its version; also the name of its runs in traces."""
    store: Any = Field(default=None, exclude=True, repr=False)
    """Where the outputs are kept."""
    types: tuple[type[Any], ...] = ()
    """Classes of inputs and outputs beside LangChain's own."""
    dedupe: bool = False
    """Whether equal inputs of a batch are one question."""
    again: bool = False
    """Whether inputs whose errors are kept are asked once more."""
    config: RunnableConfig = Field(default_factory=RunnableConfig, exclude=True, repr=False)
    """The configuration of all calls, as `with_config` sets it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._core  # noqa: B018 - raises on what cannot work

    @cached_property
    def _core(self) -> Resumable:
        with translating:
            values = values_of((*self.types, *_typed(self.bound)))
            return Resumable("langchain", self.name, self.store, values, dedupe=self.dedupe, again=self.again)

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        own = {name: value for name, value in state["__dict__"].items() if name != "_core"}
        return {**state, "__dict__": own}

    # --- what it is ---

    @property
    def InputType(self) -> type[Input]:  # noqa: N802 - the framework's name
        """The type of the chain's inputs."""
        return self.bound.InputType

    @property
    def OutputType(self) -> type[Output]:  # noqa: N802 - the framework's name
        """The type of the chain's outputs."""
        return self.bound.OutputType

    def get_input_schema(self, config: RunnableConfig | None = None) -> TypeBaseModel:
        """Return the schema of the chain's inputs."""
        return self.bound.get_input_schema(config)

    def get_output_schema(self, config: RunnableConfig | None = None) -> TypeBaseModel:
        """Return the schema of the chain's outputs."""
        return self.bound.get_output_schema(config)

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What of the chain can be configured."""
        return self.bound.config_specs

    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        """Return the graph of the chain."""
        return self.bound.get_graph(config)

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Self:
        """Return a copy with a configuration for all its calls; inputs still come from any iterable."""
        return self.model_copy(
            update={"config": merge_configs(self.config, config, cast("RunnableConfig", kwargs))}
        )

    # --- one input ---

    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Return the output that is kept for an input, else ask the chain and keep it.

        Raises:
            UsageError: the input or the output is of a type that cannot be kept.
            AnswerStoreError: the store cannot be read or written.
        """
        config = ensure_config(merge_configs(self.config, config))
        with translating:
            key = self._core.key(input, _more(config, kwargs))
            output: Output = self._core.settled_sync(self._called(input, config, key, kwargs))
        return output

    async def ainvoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Do as `invoke`, on the caller's event loop."""
        config = ensure_config(merge_configs(self.config, config))
        with translating:
            key = self._core.key(input, _more(config, kwargs))
            output: Output = await self._core.settled(await self._acalled(input, config, key, kwargs))
        return output

    def _called(self, value: Any, config: RunnableConfig, key: bytes, kwargs: Mapping[str, Any]) -> Outcome:
        ended: list[Outcome] = []

        def inside(value: Any, run_manager: CallbackManagerForChainRun, config: RunnableConfig) -> Any:
            below = patch_config(config, callbacks=run_manager.get_child())
            outcome = self._core.call_sync(key, lambda: self.bound.invoke(value, below, **kwargs))
            ended.append(outcome)
            return _shown(outcome)

        try:
            self._call_with_config(inside, value, config)
        except Exception:
            if not ended or ended[0].error is None:
                raise
        return ended[0]

    async def _acalled(
        self, value: Any, config: RunnableConfig, key: bytes, kwargs: Mapping[str, Any]
    ) -> Outcome:
        ended: list[Outcome] = []

        async def inside(
            value: Any, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
        ) -> Any:
            below = patch_config(config, callbacks=run_manager.get_child())
            outcome = await self._core.call(key, lambda: self.bound.ainvoke(value, below, **kwargs))
            ended.append(outcome)
            return _shown(outcome)

        try:
            await self._acall_with_config(inside, value, config)
        except Exception:
            if not ended or ended[0].error is None:
                raise
        return ended[0]

    # --- many inputs ---

    def batch(
        self,
        inputs: Iterable[Input],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        concurrency: int | None = None,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Output]:
        """Return the outputs of inputs, in their order; see `batch_as_completed`."""
        found = self._outputs(inputs, config, concurrency, kwargs, errors=return_exceptions)
        return [output for _, output in sorted(found, key=_place)]

    async def abatch(
        self,
        inputs: Iterable[Input] | AsyncIterable[Input],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        concurrency: int | None = None,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Output]:
        """Return the outputs of inputs, in their order; see `abatch_as_completed`."""
        found = self._aoutputs(inputs, config, concurrency, kwargs, errors=return_exceptions)
        return [output for _, output in sorted([one async for one in found], key=_place)]

    @overload
    def batch_as_completed(
        self,
        inputs: Iterable[Input],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        concurrency: int | None = None,
        return_exceptions: Literal[False] = False,
        **kwargs: Any,
    ) -> Iterator[tuple[int, Output]]: ...

    @overload
    def batch_as_completed(
        self,
        inputs: Iterable[Input],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        concurrency: int | None = None,
        return_exceptions: Literal[True],
        **kwargs: Any,
    ) -> Iterator[tuple[int, Output | Exception]]: ...

    def batch_as_completed(
        self,
        inputs: Iterable[Input],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        concurrency: int | None = None,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> Iterator[tuple[int, Output | Exception]]:
        """Yield the places of inputs with their outputs, as those are kept.

        Args:
            inputs: any number, taken one by one when there is room.
            config: for all, or a list with one for each.
            concurrency: calls at a time; None is the configuration's `max_concurrency`, else 8.
            return_exceptions: whether an error takes the place of its output. Else the first ends
                the batch: what runs is waited for and kept, and the error is raised.
            **kwargs: for the chain.

        Raises:
            UsageError: the first output is of a type that cannot be kept.
            AnswerStoreError: the store cannot be read or written.
        """
        return self._outputs(inputs, config, concurrency, kwargs, errors=return_exceptions)

    @overload
    def abatch_as_completed(
        self,
        inputs: Iterable[Input] | AsyncIterable[Input],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        concurrency: int | None = None,
        return_exceptions: Literal[False] = False,
        **kwargs: Any,
    ) -> AsyncIterator[tuple[int, Output]]: ...

    @overload
    def abatch_as_completed(
        self,
        inputs: Iterable[Input] | AsyncIterable[Input],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        concurrency: int | None = None,
        return_exceptions: Literal[True],
        **kwargs: Any,
    ) -> AsyncIterator[tuple[int, Output | Exception]]: ...

    def abatch_as_completed(
        self,
        inputs: Iterable[Input] | AsyncIterable[Input],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        concurrency: int | None = None,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> AsyncIterator[tuple[int, Output | Exception]]:
        """Do as `batch_as_completed`, on the caller's event loop; inputs may come asynchronously too."""
        return self._aoutputs(inputs, config, concurrency, kwargs, errors=return_exceptions)

    def _outputs(
        self,
        inputs: Iterable[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None,
        concurrency: int | None,
        kwargs: Mapping[str, Any],
        *,
        errors: bool,
    ) -> Iterator[tuple[int, Any]]:
        configs = self._configs(config, inputs)
        found = self._core.outcomes_sync(
            inputs,
            lambda place, value, key: self._called(value, configs(place), key, kwargs),
            more=lambda place: _more(configs(place), kwargs),
            in_flight=_in_flight(concurrency, configs),
            errors=errors,
        )
        with translating, closing(found):
            for outcome in found:
                yield outcome.index, outcome.output if outcome.error is None else _ours(outcome.error)

    async def _aoutputs(
        self,
        inputs: Iterable[Any] | AsyncIterable[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None,
        concurrency: int | None,
        kwargs: Mapping[str, Any],
        *,
        errors: bool,
    ) -> AsyncIterator[tuple[int, Any]]:
        configs = self._configs(config, inputs)
        found = self._core.outcomes(
            inputs,
            lambda place, value, key: self._acalled(value, configs(place), key, kwargs),
            more=lambda place: _more(configs(place), kwargs),
            in_flight=_in_flight(concurrency, configs),
            errors=errors,
        )
        with translating:
            async with aclosing(found):
                async for outcome in found:
                    yield outcome.index, outcome.output if outcome.error is None else _ours(outcome.error)

    def _configs(
        self, config: RunnableConfig | Sequence[RunnableConfig] | None, inputs: object
    ) -> Callable[[int], RunnableConfig]:
        """Return how the configuration of an input is found by its place."""
        if isinstance(config, Sequence):
            many = [merge_configs(self.config, one) for one in config]
            each = get_config_list(many, len(inputs) if isinstance(inputs, Sized) else len(many))
            return lambda place: _at(each, place)
        first, others = get_config_list(merge_configs(self.config, config), 2)
        return lambda place: others if place else first


def _at(configs: Sequence[RunnableConfig], place: int) -> RunnableConfig:
    if place >= len(configs):
        raise UsageError(
            f"There are {len(configs)} configurations for more inputs: pass one for each, or one."
        )
    return configs[place]


def _in_flight(concurrency: int | None, configs: Callable[[int], RunnableConfig]) -> int:
    if concurrency is not None:
        return concurrency
    return configs(0).get("max_concurrency") or IN_FLIGHT


def _more(config: RunnableConfig, kwargs: Mapping[str, Any]) -> Any:
    """Return what beside the input decides the output: arguments, and what is configured."""
    configured = {
        name: value
        for name, value in config.get("configurable", {}).items()
        if not name.startswith(_NOT_DECIDING)
    }
    return [configured, dict(kwargs)] if configured or kwargs else None


def _typed(chain: Runnable[Any, Any]) -> list[type[Any]]:
    """Return the class of a chain's typed answers, where it says so."""
    try:
        found = chain.OutputType
    except TypeError:  # it cannot say
        return []
    own = (
        isinstance(found, type)
        and issubclass(found, BaseModel)
        and not issubclass(found, RunnableSerializable)
    )
    return [found] if own else []


def _shown(outcome: Outcome) -> Any:
    if outcome.error is not None:
        raise _ours(outcome.error)
    return outcome.output


def _ours(error: Exception) -> Exception:
    return translated(error) if isinstance(error, FreeProvidersError) else error


def _place(one: tuple[int, Any]) -> int:
    return one[0]
