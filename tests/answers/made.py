"""Requests, answers and errors of every kind, for properties."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

from hypothesis import strategies as st

from freeproviders.types import (
    Attempt,
    AudioBlock,
    CallExtra,
    ChatRequest,
    Completion,
    FileBlock,
    Finish,
    ImageBlock,
    InvalidToolCall,
    Left,
    Message,
    Seam,
    TextBlock,
    Tool,
    ToolCall,
    Usage,
)
from freeproviders.wire.limits import Allowance

texts = st.text(st.characters(exclude_categories=[]), max_size=12)  # halves of characters among them
names = st.text(min_size=1, max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=True) | st.integers(-(2**60), 2**60)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("$") | texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.just("$") | texts, values, max_size=3)
moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]))
counts = st.integers(0, 10**6)
extras = st.builds(CallExtra, origin=texts, fields=objects, beside=objects)
calls = st.builds(ToolCall, id=texts, name=names, arguments=objects, extra=st.none() | extras)
wrong_calls = st.builds(InvalidToolCall, id=texts, name=names, text=texts, error=texts)
usages = st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    reasoning_tokens=st.none() | counts,
    cached_tokens=st.none() | counts,
    estimated=st.booleans(),
    cost=st.none() | st.floats(0, 10),
    cache_write_tokens=st.none() | counts,
    input_audio_tokens=st.none() | counts,
    output_audio_tokens=st.none() | counts,
    accepted_prediction_tokens=st.none() | counts,
    rejected_prediction_tokens=st.none() | counts,
)
allowances = st.builds(
    Allowance,
    metric=st.sampled_from(["requests", "tokens"]),
    per=st.sampled_from(["minute", "day"]),
    cap=st.none() | st.floats(0, 1e6),
    remaining=st.none() | st.floats(0, 1e6),
    reset_at=st.none() | moments,
    scope=texts,
    resolution=st.sampled_from([0.0, 1.0]),
)
lefts = st.builds(
    Left,
    metric=st.sampled_from(["requests", "tokens"]),
    per=texts,
    scope=texts,
    cap=numbers,
    left=numbers,
    back_at=st.none() | moments,
)
attempts = st.builds(
    Attempt, provider=texts, model=texts, error=texts, requests=counts, seconds=st.floats(0, 100)
)
seams = st.builds(
    Seam,
    offset=counts,
    broken=texts,
    source=texts,
    how=st.sampled_from(["replay", "prefill", "trim", "restart"]),
)
finishes = st.builds(
    Finish,
    reason=st.sampled_from(["stop", "length", "tool_calls", "content_filter", "unknown"]),
    provider=texts,
    model=texts,
    raw_reason=st.none() | texts,
    confirmed=st.booleans(),
    attempts=counts,
    response_id=st.none() | texts,
    request_id=st.none() | texts,
    system_fingerprint=st.none() | texts,
    service_tier=st.none() | texts,
    allowances=st.lists(allowances, max_size=2).map(tuple),
    quota=st.lists(lefts, max_size=2).map(tuple),
    trail=st.lists(attempts, max_size=2).map(tuple),
    seams=st.lists(seams, max_size=2).map(tuple),
)


def _completions(others):
    return st.builds(
        Completion,
        text=texts,
        reasoning=texts,
        tool_calls=st.lists(calls, max_size=2).map(tuple),
        usage=usages,
        finish=finishes,
        refusal=texts,
        logprobs=st.none() | objects,
        others=st.lists(others, max_size=1).map(tuple) if others is not None else st.just(()),
        invalid_tool_calls=st.lists(wrong_calls, max_size=1).map(tuple),
    )


completions = _completions(_completions(None))

blocks = st.one_of(
    st.builds(TextBlock, texts),
    st.builds(
        ImageBlock,
        st.sampled_from(["http://127.0.0.1/a.png", "data:image/png;base64,iVBORw0="]),
        st.none() | names,
    ),
    st.builds(AudioBlock, st.sampled_from(["UklGRg==", "T2dnUw=="]), st.sampled_from(["wav", "ogg"])),
    st.builds(
        FileBlock,
        st.none() | st.just("data:application/pdf;base64,JVBERg=="),
        st.none() | names,
        st.none() | names,
    ),
)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=texts | st.lists(blocks, max_size=2).map(tuple),
    name=st.none() | names,
    tool_calls=st.lists(calls, max_size=1).map(tuple),
    tool_call_id=st.none() | names,
    is_error=st.booleans(),
    reasoning=st.just("") | texts,
    developer=st.booleans(),
)
tools = st.builds(Tool, name=names, description=texts, parameters=objects, strict=st.none() | st.booleans())
requests = st.builds(
    ChatRequest,
    messages=st.lists(messages, min_size=1, max_size=2).map(tuple),
    temperature=st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    top_p=st.none() | st.just(0.9),
    max_tokens=st.none() | st.integers(1, 3),
    stop=st.lists(names, max_size=1).map(tuple),
    tools=st.lists(tools, max_size=1).map(tuple),
    tool_choice=st.none() | names | st.lists(names, max_size=2).map(tuple),
    parallel_tool_calls=st.none() | st.booleans(),
    response_format=st.none() | objects,
    options=objects,
    max_repairs=st.sampled_from([0, 2]),
    allow_repeats=st.none() | st.booleans(),
    on_invalid=st.sampled_from([None, "pass", "raise"]),
    reasoning=st.sampled_from([None, "split", "keep", "drop"]),
    on_empty=st.sampled_from([None, "error", "allow"]),
    n=st.sampled_from([1, 2]),
    service_tools=st.lists(objects, max_size=1).map(tuple),
    prefill=st.just("") | texts,
)
