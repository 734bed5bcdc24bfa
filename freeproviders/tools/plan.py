"""The plan of a request: its tools, whether one must be called, the form of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from freeproviders.errors import UsageError
from freeproviders.naming import argument
from freeproviders.records import record
from freeproviders.tools.choice import Choice, read_choice
from freeproviders.tools.schema.faults import check_schema
from freeproviders.tools.schema.modern import TYPES
from freeproviders.tools.schema.target import Target, any_object
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import ChatRequest, FromClass, Message, ToolCall
from freeproviders.wire.json import dumps

_FORMS: Final = TYPES | {"json_schema", "json_object"}
"""The types of a response format; a bare JSON schema has one of its own."""


_NONE: Final = frozenset[str]()


@record
class Plan:
    """The tools, the duty to call one, and the form of the answer in a request.

    `box` are the tools on offer, `must` says that one of them is called, `single` that no two are;
    `target` is the answer's schema, if it has one. `choice` is what a service with tools of its own
    is told, `named` says that it is one tool, and `excluded` are the names of the tools that the
    choice leaves out.

    `outstanding` are the tools that have no result since the user last spoke: once there are none,
    words are an answer to a required choice too. `settled` are the calls of which another one like
    it is not news, see `_settled`. A failure is no result.
    """

    box: Toolbox
    must: bool
    single: bool
    target: Target | None
    outstanding: Toolbox
    choice: str | None = None
    named: bool = False
    excluded: frozenset[str] = _NONE
    settled: tuple[ToolCall, ...] = ()


def plan_of(request: ChatRequest) -> Plan:
    """Read what a request asks for.

    Raises `UsageError` for a tool that it does not have, and for a schema that is broken.
    """
    box = Toolbox.of(request.tools)
    choice = None if request.tool_choice is None else read_choice(request.tool_choice, box.names)
    plan = _offer(box, choice, single=request.parallel_tool_calls is False)
    target = target_of(request)
    results, latest = _results(request.messages) if _last_role(request.messages) == "tool" else ([], 0)
    if target is None and not results:
        return plan
    answered = {call.name for _, call, _ in results}
    return replace(
        plan,
        target=target,
        outstanding=plan.box.only(name for name in plan.box.names if name not in answered),
        settled=_settled(results, latest),
    )


@lru_cache(maxsize=256)
def _offer(box: Toolbox, choice: Choice, *, single: bool) -> Plan:
    """Make the plan for some tools and the choice among them, for any conversation without results.

    Raises `UsageError` for a schema that is broken, and where there is no tool to call.
    """
    for tool in box.tools:
        check_schema(tool.parameters, f"The parameters of tool {tool.name!r}: the schema")
    everything = box
    must = choice not in {None, "auto", "none"}
    if choice == "none":
        box = box.only(())
    elif must and choice != "required":
        box = box.only((choice,) if isinstance(choice, str) else choice or ())
    if must and not box:
        raise UsageError(f"{argument('tool_choice')} requires a tool, but the request has none.")
    return Plan(
        box,
        must,
        single=single,
        target=None,
        outstanding=box,
        choice="required" if isinstance(choice, tuple) else choice,
        named=must and choice != "required" and len(box) == 1,
        excluded=_NONE if box is everything else frozenset(everything.names).difference(box.names),
    )


def _last_role(messages: Sequence[Message]) -> str:
    """Return who spoke last; a system message may come late, as the last of all."""
    for message in reversed(messages):
        if message.role != "system":
            return message.role
    return ""


def target_of(request: ChatRequest) -> Target | None:
    """The schema of the answer, None where any text will do."""
    form = request.response_format
    kind = form.get("type") if form else None
    if form is None or kind == "text":
        return None
    if isinstance(kind, str) and kind not in _FORMS:
        raise UsageError(
            f"{argument('response_format')} has the unknown type {kind!r}: use json_schema, "
            f"json_object or text."
        )
    return Target.of(form) if isinstance(form, FromClass) or kind != "json_object" else any_object()


_Result = tuple[int, ToolCall, str]
"""The number of the model's turn, its call, what that returned."""


def _settled(results: Sequence[_Result], latest: int) -> tuple[ToolCall, ...]:
    """Name the calls that tell nothing new when they are made again, or in a circle with others.

    Their results are the last thing that the model was told, or a later call has given its old result
    again: so the model goes in a circle, and so do the calls between. So is a call with its own
    result put in for a text: the echo of a message that was sent.
    """
    first: dict[tuple[str, bytes, str], int] = {}
    closed = 0
    """The number of results up to where the last circle is closed."""
    for number, (turn, call, result) in enumerate(results, 1):
        if first.setdefault((call.name, dumps(call.arguments), result), turn) < turn:
            closed = number
    found: list[ToolCall] = []
    for number, (turn, call, result) in enumerate(results, 1):
        if turn == latest or number <= closed:
            texts = [name for name, value in call.arguments.items() if isinstance(value, str)]
            echoes = [replace(call, arguments={**call.arguments, name: result.strip()}) for name in texts]
            found += [call, *echoes]
    return tuple(found)


def _results(messages: Sequence[Message]) -> tuple[list[_Result], int]:
    """The calls that have given a result since the user last spoke.

    Also the number of the model's last turn. A failure is no result.
    """
    calls: dict[str, ToolCall] = {}
    latest = 0
    found: list[_Result] = []
    for number, message in enumerate(messages):
        calls.update({call.id: call for call in message.tool_calls})
        if message.role == "user":
            found.clear()
        elif message.role == "assistant":
            latest = number
        elif message.role == "tool" and not (
            message.is_error or message.text.lstrip().lower().startswith("error")
        ):
            call = calls.get(message.tool_call_id or "") or ToolCall("", message.name or "", {})
            found.append((latest, call, message.text))
    return found, latest
