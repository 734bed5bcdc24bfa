"""Structured output by the core and LangChain's parsers, which raise and never return None."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping
from operator import itemgetter
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.base import BaseLLMOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
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
from langchain_freeproviders.errors import OutputError, StructuredOutputError
from langchain_freeproviders.tools import Method, json_schema_format, openai_tools


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
    if schema is None:
        raise UsageError(
            "with_structured_output needs a schema: pass a pydantic class, a TypedDict or a JSON schema."
        )
    kind: Any = (
        _dataclass_schema(schema) if dataclasses.is_dataclass(schema) and isinstance(schema, type) else schema
    )
    shown = {
        "kwargs": {"method": method, **({} if strict is None else {"strict": strict})},
        "schema": _traceable(kind),
    }
    parser: BaseLLMOutputParser[Any]
    match method:
        case "json_schema":
            llm = model.bind(
                response_format=json_schema_format(kind, strict=strict),
                ls_structured_output_format=shown,
                **settings,
            )
            parser = _PydanticAnswer(pydantic_object=kind) if _is_pydantic(kind) else _JsonAnswer()
        case "json_mode":
            llm = model.bind(
                response_format={"type": "json_object"}, ls_structured_output_format=shown, **settings
            )
            parser = _PydanticAnswer(pydantic_object=kind) if _is_pydantic(kind) else _JsonAnswer()
        case "function_calling":
            (tool,) = openai_tools([kind], strict=strict)
            name = tool["function"]["name"]
            bound = {"tools": [tool], "tool_choice": name, "parallel_tool_calls": False}
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
    chain: Runnable[AIMessage, Any] = (
        parser if kind is schema else parser | TypeAdapter(schema).validate_python
    )
    if not include_raw:
        return llm | chain
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | chain, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return _Raw(bound=RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error"))


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
        raise UsageError(f"{schema!r:.200} is no schema: {error}.") from error
    return schema if isinstance(schema, type) else convert_to_json_schema(schema)


# --- parsers that raise instead of returning None -------------------------------------------------


class _Insisting(BaseLLMOutputParser[Any]):
    """Raises `StructuredOutputError` where the parser that is the next base finds nothing."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        value = super().parse_result(result, partial=partial)  # type: ignore[safe-super]  # of the other base
        if value is None and not partial:
            raise StructuredOutputError("The answer holds no object.", said=result[0].text if result else "")
        return value


class _JsonAnswer(_Insisting, JsonOutputParser):
    """The answer is the object."""


class _PydanticAnswer(_Insisting, PydanticOutputParser[Any]):
    """The answer is the object, as an instance."""


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
            return _failure(error)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        try:
            return await self.bound.ainvoke(input, config, **kwargs)
        except OutputError as error:
            return _failure(error)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        try:
            yield from self.bound.stream(input, config, **kwargs)
        except OutputError as error:
            yield {key: value for key, value in _failure(error).items() if key != "raw"}

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[dict[str, Any]]:
        try:
            async for item in self.bound.astream(input, config, **kwargs):
                yield item
        except OutputError as error:
            yield {key: value for key, value in _failure(error).items() if key != "raw"}


def _failure(error: core.OutputError) -> dict[str, Any]:
    return {"raw": AIMessage(content=error.said), "parsed": None, "parsing_error": error}
