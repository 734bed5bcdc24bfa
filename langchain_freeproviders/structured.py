"""Structured output by the core and LangChain's parsers, which raise and never return None."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.base import BaseLLMOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.output_parsers.transform import BaseTransformOutputParser
from langchain_core.outputs import Generation
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableMap,
    RunnablePassthrough,
    RunnableSerializable,
)
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ConfigDict, TypeAdapter

from freeproviders import errors as core
from freeproviders.errors import UsageError
from freeproviders.types import FromClass
from langchain_freeproviders.chunks import DraftChunk, response_metadata, usage_metadata
from langchain_freeproviders.errors import OutputError, StructuredOutputError
from langchain_freeproviders.tools import DraftedForm, Method, json_schema_format, on_one_line, openai_tools


def structured(
    model: BaseChatModel,
    schema: Any,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    settings: Mapping[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """Make what `with_structured_output` returns; its docstring says the rest."""
    if schema is None and method != "json_mode":
        raise UsageError(
            "with_structured_output needs a schema: pass a pydantic class, a TypedDict or a JSON schema. "
            'Only method="json_mode" goes without.'
        )
    kind: Any = (
        _dataclass_schema(schema) if dataclasses.is_dataclass(schema) and isinstance(schema, type) else schema
    )
    shown = {
        "kwargs": {"method": method, **({} if strict is None else {"strict": strict})},
        "schema": None if kind is None else _traceable(kind),
    }
    # A class's own validators are a part of the core's check, and so of asking again.
    source = schema if _is_pydantic(schema) or kind is not schema else None
    parser: BaseLLMOutputParser[Any]
    match method:
        case "json_schema":
            llm = model.bind(
                response_format=DraftedForm(json_schema_format(kind, strict=strict), source),
                ls_structured_output_format=shown,
                **settings,
            )
            parser = _answer_parser(kind, may_call=include_raw)
        case "json_mode":
            llm = model.bind(
                response_format=DraftedForm({"type": "json_object"}, source),
                ls_structured_output_format=shown,
                **settings,
            )
            parser = _answer_parser(kind, may_call=include_raw)
        case "function_calling":
            (tool,) = openai_tools([kind], strict=strict)
            name = tool["function"]["name"]
            bound = {"tools": [FromClass(tool, source)], "tool_choice": name, "parallel_tool_calls": False}
            llm = model.bind(**bound, ls_structured_output_format=shown, **settings)
            parser = (
                _PydanticCall(tools=[kind], first_tool_only=True)
                if _is_pydantic(kind)
                else _JsonCall(key_name=name, first_tool_only=True)
            )
        case _:
            raise UsageError(
                f"method must be 'json_schema', 'function_calling' or 'json_mode', not {method!r}."
            )
    parsing: Runnable[AIMessage, Any] = (
        parser if kind is schema else parser | TypeAdapter(schema).validate_python
    )
    if not include_raw:
        return llm | parsing
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parsing, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return _Raw(
        bound=RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error"),
        model_provider=getattr(model, "model_provider", ""),
    )


def _answer_parser(kind: Any, *, may_call: bool) -> _PydanticAnswer | _JsonAnswer:
    """Return the parser of an answer that is the object."""
    if _is_pydantic(kind):
        return _PydanticAnswer(pydantic_object=kind, may_call=may_call)
    return _JsonAnswer(may_call=may_call)


def _is_pydantic(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _dataclass_schema(cls: type) -> dict[str, Any]:
    schema = TypeAdapter(cls).json_schema()
    schema.setdefault("title", cls.__name__)
    return schema


def _traceable(schema: Any) -> Any:
    """The schema for the trace: a class, or a JSON schema where LangChain could not make one."""
    try:
        convert_to_openai_tool(schema)
    except Exception as error:
        raise UsageError(f"{schema!r:.200} is no schema: {on_one_line(error)}") from error
    return schema if isinstance(schema, type) else convert_to_json_schema(schema)


# --- parsers that raise instead of returning None -------------------------------------------------


class _Insisting(BaseLLMOutputParser[Any]):
    """Raises `StructuredOutputError` where the parser that is the next base finds nothing."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        value = super().parse_result(result, partial=partial)  # type: ignore[safe-super]  # of the other base
        if value is None and not partial:
            raise StructuredOutputError("The answer holds no object.", said=result[0].text if result else "")
        return value


class _Growing:
    """What was shown last of an object that grows, and the chunks before its text.

    Attributes:
        shown: the value that was shown last, None for none.
        held: the chunks that are no drafts, up to the first with text.
        has_text: whether the text has begun, before which all drafts come.
    """

    def __init__(self, shown_of: Callable[[Any], Any]) -> None:
        self.shown: Any = None
        self.held: list[str | BaseMessage] = []
        self.has_text = False
        self._shown_of = shown_of

    def take(self, chunk: str | BaseMessage) -> Sequence[Any]:
        """Take a chunk; return the value to show for it, if there is a new one."""
        if isinstance(chunk, DraftChunk):
            draft = self._shown_of(chunk.draft)
            return () if draft is None else self.new(draft)
        self.held.append(chunk)
        self.has_text = not isinstance(chunk, BaseMessage) or bool(chunk.text)
        return ()

    def new(self, value: Any) -> Sequence[Any]:
        """Return a value if it is another than the one before."""
        if value == self.shown:
            return ()
        self.shown = value
        return (value,)


class _Drafted(BaseTransformOutputParser[Any]):
    """Shows the drafts of an object, which come before its text.

    The object in the text is shown last, whether it extends the last draft or not: the model may
    have been asked again. Where tools are bound as well, the model may call one instead of
    answering: that is no object, and no failure where the caller gets at the call.
    """

    may_call: bool = False

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        message = getattr(result[0], "message", None) if result else None
        if isinstance(message, AIMessage) and message.tool_calls and not message.text:
            return None if partial else self._nothing(message.tool_calls[0]["name"])
        return super().parse_result(result, partial=partial)

    def _nothing(self, called: str = "") -> Any:
        """Return what stands for no object, or raise."""
        if self.may_call:
            return None
        how = f"The model called {called}, and gave no object" if called else "The answer holds no object"
        raise StructuredOutputError(f"{how}: with include_raw=True the message comes out as well.")

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        growing = _Growing(self._shown)
        for chunk in input:
            yield from growing.take(chunk)
            if growing.has_text:
                break
        for value in super()._transform(chain(growing.held, input)):
            yield from growing.new(value)
        if growing.shown is None:
            yield self._nothing()

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        growing = _Growing(self._shown)
        async for chunk in input:
            for value in growing.take(chunk):
                yield value
            if growing.has_text:
                break
        async for chunk in super()._atransform(_achain(growing.held, input)):
            for value in growing.new(chunk):
                yield value
        if growing.shown is None:
            yield self._nothing()

    def _shown(self, draft: Any) -> Any:
        """The value to show for a draft; None for none."""
        return draft


async def _achain(
    held: list[str | BaseMessage], rest: AsyncIterator[str | BaseMessage]
) -> AsyncIterator[str | BaseMessage]:
    for chunk in held:
        yield chunk
    async for chunk in rest:
        yield chunk


class _JsonAnswer(_Drafted, _Insisting, JsonOutputParser):
    """The answer is the object."""


class _PydanticAnswer(_Drafted, _Insisting, PydanticOutputParser[Any]):
    """The answer is the object, as an instance."""

    def _shown(self, draft: Any) -> Any:
        try:
            return self._parse_obj(draft)
        except OutputParserException:
            return None


class _JsonCall(_Insisting, JsonOutputKeyToolsParser):
    """The call's arguments are the object."""


class _PydanticCall(_Insisting, PydanticToolsParser):
    """The call's arguments are the object, as an instance."""


# --- include_raw ----------------------------------------------------------------------------------


class _Raw(RunnableSerializable[LanguageModelInput, dict[str, Any]]):
    """Returns a failure of the model's words instead of raising it.

    The model has been asked again by then, below the callbacks. This is no binding, which would
    hand batches, and streams inside a chain, on to what is bound without coming by here.
    """

    bound: Runnable[LanguageModelInput, dict[str, Any]]
    model_provider: str = ""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @property
    def InputType(self) -> Any:  # noqa: N802 - LangChain's
        return self.bound.InputType

    @property
    def OutputType(self) -> Any:  # noqa: N802
        return self.bound.OutputType

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        try:
            return self.bound.invoke(input, config, **kwargs)
        except OutputError as error:
            return self._failure(error)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        try:
            return await self.bound.ainvoke(input, config, **kwargs)
        except OutputError as error:
            return self._failure(error)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        said = False
        try:
            for item in self.bound.stream(input, config, **kwargs):
                said = said or _has_words(item)
                yield item
        except OutputError as error:
            yield self._failure(error, said=said)

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[dict[str, Any]]:
        said = False
        try:
            async for item in self.bound.astream(input, config, **kwargs):
                said = said or _has_words(item)
                yield item
        except OutputError as error:
            yield self._failure(error, said=said)

    def _failure(self, error: core.OutputError, *, said: bool | None = None) -> dict[str, Any]:
        """Return what there is of an answer that failed; `said` None is one that was not streamed.

        Of a streamed one the words may have gone out.
        """
        about: dict[str, Any] = {"content": "" if said else error.said}
        if error.finish is not None:
            about["response_metadata"] = response_metadata(error.finish, error.usage, self.model_provider)
        if error.usage is not None:
            about["usage_metadata"] = usage_metadata(error.usage)
        raw = AIMessage(**about) if said is None else AIMessageChunk(**about)
        return {"raw": raw, "parsed": None, "parsing_error": error}


def _has_words(item: Mapping[str, Any]) -> bool:
    raw = item.get("raw")
    return isinstance(raw, AIMessage) and bool(raw.content)
