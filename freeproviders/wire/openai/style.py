"""What a service wants to be written in another way than OpenAI does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, Literal

from freeproviders.records import record


@record
class Style:
    """The way in which one service wants its requests to be written.

    Attributes:
        max_tokens: what the limit of an answer is called.
        leave_out: fields of a request that are refused.
        leave_out_of_messages: fields of a message that are refused.
        leave_out_of_schemas: keywords of a tool's schema that are refused, at any depth.
        flat_content: contents are text, never lists of parts, but for pictures and files. All
            requests are written so; replicas of the service hold them to it.
        null_content: whether a message with tool calls may have `null` as its content.
        call_id_chars: the length that ids of tool calls must have, 0 for any.
        assistant_after_tool: whether the assistant must speak between a tool's result and the user.
        stops: how many stop sequences there may be.
        at_least: the lowest value of numbers, by field.
        at_most: the highest value of numbers, by field.
        send: fields that each request has, as one that switches paid fallbacks off; what the
            caller says of them counts.
        free: fields of each request that must not cost anything, as a highest price of zero; what
            the caller says of them does not count.
        headers: headers that each request has.
        prefill: how the beginning of an answer is given, to be gone on with: "last" as the last message,
            "prefix" with `prefix: true` in that message, "continue" with `continue_final_message` beside
            the messages; "" where the service does not go on with it.
        reasoning: the field in which the thinking of a run of tool calls is sent back; "" leaves it
            to what is known of the model.
        tool_extras: whether what the service adds to a tool call must be sent back with it.
        tool_extra_default: what is sent with the first call of an answer that had nothing of the
            kind, since another service gave it.
    """

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    leave_out: tuple[str, ...] = ()
    leave_out_of_messages: tuple[str, ...] = ()
    leave_out_of_schemas: tuple[str, ...] = ()
    flat_content: bool = False
    null_content: bool = True
    call_id_chars: int = 0
    assistant_after_tool: bool = False
    stops: int = 4
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    send: Mapping[str, Any] = field(default_factory=dict)
    free: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    prefill: Literal["", "last", "prefix", "continue"] = ""
    reasoning: str = ""
    tool_extras: bool = False
    tool_extra_default: Mapping[str, Any] = field(default_factory=dict)


PLAIN: Final = Style()
"""The style of OpenAI itself, in which requests are written first."""
