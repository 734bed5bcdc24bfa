r"""The faults of a replica, by name and place.

`replica(..., faults=...)` takes one mapping, which then applies to every request, or a sequence of
mappings: the n-th request gets the n-th, and requests after the last one have no fault. `{}` and
None are requests without a fault. Several names in one mapping combine. `RandomFaults` draws one of
its mappings for a part of the requests.

Faults apply to the chat request. `"on": "page"` moves a mapping to ChatgptFree's page (step 1),
`"on": "models"` to the OpenAI protocol's list of models, `"on": "embeddings"` to requests for
vectors; each place counts its own requests. A wrong request is refused before any fault is applied,
and uses none up.

===============  ===========================  ======================================================
name             value                        what happens
===============  ===========================  ======================================================
on               "answer" | "page" |          which request the mapping is for
                 "models" | "embeddings"
drop             True                         the connection is closed without any answer
delay_headers    seconds                      wait before the status line
redirect         url                          307 to there
challenge        True                         403 with a bot check's page of HTML
html             True                         200 with a page of HTML
status           int                          this status, with the service's own error body
retry_after      number | str                 header `Retry-After`
retry_after_ms   number                       header `Retry-After-Ms`
headers          mapping                      further headers of the answer
body             str | bytes | dict           body of the `status` answer
content_type     str                          content type of the answer
kind             a `Kind` of refusal          services of the catalogue: refused as the row's first
                                              sign of the kind says; `retry_after` is then the time
                                              in the body too
sign             n                            services of the catalogue: refused as the row's n-th
                                              sign says; a "request" that its `send` and `leave_out`
                                              mend is not
quota            True                         the day's allowance is used up (AIChatFree: 500 "Quota
                                              exceeded", others: 429)
error            str                          an error inside a 200, in the protocol's shape; with
                                              `status`: its message
error_at         n pieces                     so much text comes before `error` (default 0)
error_shape      one of `ERROR_SHAPES`        how FreeNetfly and OpenAI write errors (default
                                              "object")
empty            True                         a correct answer without any text or vector
vectors          one of `SPOILED`             what is wrong with the vectors of an answer; is always
                                              on "embeddings"
delay_first      seconds                      wait between the headers and the first text
keepalive        n                            so many comments (SSE) or blank lines (others), one
                                              each 20 ms, before the first text
stall            n pieces                     then silence, with the connection open, until the
                                              client leaves
pace             seconds                      wait between pieces
cut              n bytes                      the connection breaks after n bytes of body (at its
                                              end when it is shorter)
end              n bytes                      a clean end after n bytes of body
chunk            n bytes | list of them       size of each write; a list is gone through again and
                                              again
encoding         "gzip" | "deflate"           compress the body; `cut`, `end` and `chunk` then count
                                              compressed bytes
no_stream        True                         FreeNetfly, OpenAI: one JSON document though a stream
                                              was asked for
no_finish        True                         SSE: no `finish_reason`
no_done          True                         SSE: no `[DONE]`
last_blank       False                        SSE: the last event lacks its blank line; FlowGpt: the
                                              last line its line end
line_end         "\r\n" | "\r"                SSE, FlowGpt: ends of lines ("\r": only FreeNetfly
                                              and OpenAI)
bom              True                         SSE: begins with a byte order mark
hang_after_done  seconds                      wait between the last byte of the answer and the end
                                              of the body
nonce_expired    "403" | "-1" | "json"        ChatgptFree: the nonce has expired, in one of its
                                              three answers
page             "no-nonce" | "no-post-id" |  ChatgptFree: what its page lacks, or a whole page of
                 HTML                         your own; is always on "page"
===============  ===========================  ======================================================

A name that the service's protocol has no place for is a `ValueError`, as is an unknown one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any, ClassVar, Final, Protocol, get_args

from freeproviders.wire.signs import Kind

ERROR_SHAPES: Final = (
    "object",
    "string",
    "object-error",
    "array",
    "errors",
    "rfc7807",
    "message",
    "detail",
    "choices-null",
    "finish-reason",
    "text",
)
"""How services write errors; the last three are only seen inside a 200."""

SPOILED: Final = ("missing", "more", "null", "size", "sizes", "nan", "twice", "shuffled")
"""What can be wrong with vectors.

"missing": the first text has none; "more": there is one too many; "null": the last one is null;
"size": the last one is a number too short, "sizes": all of them; "nan": the last one begins with a
NaN; "twice": the last one has the number of the first; "shuffled": they come in another order,
which is no mistake where they are numbered.
"""

_NAME: Final = re.compile(r"\s*([^=,]*?)\s*(?:(=)\s*|,|$)")
_NO_JSON: Final = re.compile(r'((?:"[^"]*"|[^,])*)(?:,|$)')
"""A value up to the next comma that is in no quotes."""
_BEHIND: Final = re.compile(r"\s*(?:,|$)")
_VALUE: Final = 17
_WHAT: Final = 46
"""Where the columns of the module's table begin."""
_SHORT_CHARS: Final = 40

_CHOICES: Final[Mapping[str, tuple[object, ...]]] = {
    "encoding": ("gzip", "deflate"),
    "error_shape": ERROR_SHAPES,
    "kind": get_args(Kind),
    "nonce_expired": ("403", "-1", "json"),
    "vectors": SPOILED,
}
_NUMBERS: Final = frozenset(
    {
        "delay_headers",
        "delay_first",
        "pace",
        "hang_after_done",
        "cut",
        "end",
        "stall",
        "keepalive",
        "error_at",
        "sign",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The faults of one request; the module's table describes each."""

    on: str = "answer"
    drop: bool = False
    delay_headers: float = 0
    redirect: str | None = None
    challenge: bool = False
    html: bool = False
    status: int | None = None
    retry_after: float | str | None = None
    retry_after_ms: float | None = None
    headers: Mapping[str, str] | None = None
    body: str | bytes | Mapping[str, Any] | None = None
    content_type: str | None = None
    kind: Kind | None = None
    sign: int | None = None
    quota: bool = False
    error: str | None = None
    error_at: int = 0
    error_shape: str = "object"
    empty: bool = False
    vectors: str | None = None
    delay_first: float = 0
    keepalive: int = 0
    stall: int | None = None
    pace: float = 0
    cut: int | None = None
    end: int | None = None
    chunk: int | Sequence[int] | None = None
    encoding: str | None = None
    no_stream: bool = False
    no_finish: bool = False
    no_done: bool = False
    last_blank: bool = True
    line_end: str = "\n"
    bom: bool = False
    hang_after_done: float = 0
    nonce_expired: str | None = None
    page: str | None = None

    @property
    def words(self) -> str:
        """The faults by name, as `read_words` reads them; "" for none."""
        if self == NO_FAULT:
            return ""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {name: value for name, value in given.items() if value != getattr(NO_FAULT, name)}
        changed.pop("on", None)
        return ",".join(
            [name if value is True else f"{name}={_short(value)}" for name, value in changed.items()]
        )


NO_FAULT: Final = Fault()
FAULT_NAMES: Final = tuple(field.name for field in fields(Fault))

STREAM_FAULTS: Final = frozenset({"keepalive", "last_blank", "line_end"})
SSE_FAULTS: Final = STREAM_FAULTS | {"no_done", "no_finish", "bom"}
COMPLETION_FAULTS: Final = SSE_FAULTS | {"error_shape", "no_stream"}
SIGN_FAULTS: Final = frozenset({"kind", "sign"})
PAGE_FAULTS: Final = frozenset({"nonce_expired", "page"})
VECTOR_FAULTS: Final = frozenset({"vectors"})
EVERYWHERE: Final = frozenset(FAULT_NAMES) - COMPLETION_FAULTS - PAGE_FAULTS - SIGN_FAULTS - VECTOR_FAULTS
"""The faults that every protocol has a place for."""
ELSEWHERE: Final = EVERYWHERE - {"quota", "error_at", "empty", "pace"} | {"page", "error_shape"}
"""The faults that pages and lists of models have a place for."""
ON_VECTORS: Final = ELSEWHERE - {"page"} | {"quota", "empty"} | SIGN_FAULTS | VECTOR_FAULTS
"""The faults that requests for vectors have a place for."""
_PLACES: Final[Mapping[str, frozenset[str]]] = {
    "answer": frozenset(FAULT_NAMES) - VECTOR_FAULTS,
    "embeddings": ON_VECTORS,
}


@dataclass(frozen=True, slots=True)
class RandomFaults:
    """Faults that come by chance, in the same order for the same seed.

    Args:
        faults: the mappings of which one is drawn; one that stands there twice is drawn twice as
            often.
        share: which part of the requests has a fault, from 0 to 1.
        seed: another number is another order.
        on: which request those mappings are for that do not say it.
    """

    faults: Sequence[Mapping[str, Any]]
    share: float = 0.3
    seed: int = 0
    on: str = "answer"

    def __post_init__(self) -> None:
        if not self.faults or not 0 <= self.share <= 1:
            raise ValueError("RandomFaults takes at least one mapping, and a share from 0 to 1.")


Faults = Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | RandomFaults | None
"""The type of `faults=`."""


class FaultyService(Protocol):
    """A service as far as faults need it."""

    name: ClassVar[str]
    places: ClassVar[tuple[str, ...]]
    line_ends: ClassVar[tuple[str, ...]]
    fault_names: frozenset[str]
    signs: ClassVar[int]


def read_fault(spec: Mapping[str, Any] | None, service: FaultyService) -> Fault:
    """Read one mapping. Raises `ValueError` on a name or value that would have no effect."""
    if not spec:
        return NO_FAULT
    place = "page" if "page" in spec else "embeddings" if "vectors" in spec else spec.get("on", "answer")
    if place not in service.places:
        raise ValueError(
            f"{service.name} has no {place!r}: a fault can be on {', '.join(map(repr, service.places))}."
        )
    known = service.fault_names & _PLACES.get(place, ELSEWHERE)
    for name, value in spec.items():
        if name not in known:
            why = (
                f"{service.name} has no place for the fault {name!r} on {place!r}"
                if name in FAULT_NAMES
                else f"Unknown fault {name!r}"
            )
            raise ValueError(f"{why}: use {', '.join(sorted(known))}.")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(
                f"Fault {name!r} takes one of {', '.join(map(repr, _CHOICES[name]))}, not {value!r}."
            )
        if (
            name in _NUMBERS
            and value is not None
            and (not isinstance(value, int | float) or isinstance(value, bool) or value < 0)
        ):
            raise ValueError(f"Fault {name!r} takes a number from 0 up, not {value!r}.")
    if spec.get("line_end", "\n") not in service.line_ends:
        raise ValueError(
            f"{service.name}: fault 'line_end' takes one of {', '.join(map(repr, service.line_ends))}."
        )
    _check_chunk(spec.get("chunk"))
    if (spec.get("sign") or 0) >= max(1, service.signs):
        raise ValueError(
            f"{service.name} has {service.signs} signs, numbered from 0; there is no {spec['sign']}."
        )
    return Fault(**{**spec, "on": place})


def read_words(text: str) -> dict[str, Any]:
    """Read a fault as one writes it in a shell: "503", "status=429,retry_after=60", "drop", "ok".

    A number alone is a status, a name alone is `True`, "ok" is no fault, and a value is read as JSON
    where it is JSON. An object of JSON is taken as it is. Raises `ValueError`.
    """
    text = text.strip()
    if text.startswith("{"):
        found = json.loads(text)
        return dict(found)
    if text in {"", "ok"}:
        return {}
    spec: dict[str, Any] = {}
    at = 0
    while at < len(text):
        found = _NAME.match(text, at)
        assert found is not None  # noqa: S101 - it matches an empty name too
        name, given, at = found[1], found[2], found.end()
        if given:
            spec[name], at = _value(text, at)
        elif name.isdecimal():
            spec["status"] = int(name)
        else:
            spec[name] = True
    return spec


def described() -> dict[str, tuple[str, str]]:
    """Return the value that each fault takes and what it does, by its name, as the module's table says."""
    rows: dict[str, tuple[list[str], list[str]]] = {}
    name = ""
    for line in (__doc__ or "").splitlines():
        if len(line) > _WHAT and not line.startswith("="):
            name = line[:_VALUE].strip() or name
            if name in FAULT_NAMES:
                value, what = rows.setdefault(name, ([], []))
                value.append(line[_VALUE:_WHAT].strip())
                what.append(line[_WHAT:].strip())
    return {name: (" ".join(value).strip(), " ".join(what)) for name, (value, what) in rows.items()}


def _value(text: str, start: int) -> tuple[Any, int]:
    """Read the value that begins at a place; return it, and where the next fault begins."""
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        pass
    else:
        if (behind := _BEHIND.match(text, end)) is not None:
            return value, behind.end()
    found = _NO_JSON.match(text, start)
    assert found is not None  # noqa: S101 - it matches an empty value too
    return found[1].strip(), found.end()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= _SHORT_CHARS else f"{text[:_SHORT_CHARS]}..."


def _check_chunk(chunk: object) -> None:
    sizes = chunk if isinstance(chunk, Sequence) else [1 if chunk is None else chunk]
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(
            f"Fault 'chunk' takes a number of bytes from 1 up, or a list of them, not {chunk!r}."
        )


class FaultPlan:
    """The assignment of faults to requests."""

    def __init__(self, faults: Faults, service: FaultyService) -> None:
        self._always: dict[str, Fault] = {}
        self._queues: dict[str, list[Fault]] = {place: [] for place in service.places}
        self._chance: dict[str, tuple[Random, list[Fault]]] = {}
        self._share = 0.0
        if isinstance(faults, RandomFaults):
            self._share = faults.share
            for mapping in faults.faults:
                fault = read_fault({"on": faults.on, **mapping}, service)
                if fault.on not in self._chance:
                    self._chance[fault.on] = (Random(f"{faults.seed} {fault.on}"), [])  # noqa: S311 - a test's
                self._chance[fault.on][1].append(fault)
            return
        if isinstance(faults, Mapping):
            fault = read_fault(faults, service)
            self._always[fault.on] = fault
            return
        for spec in faults or ():
            fault = read_fault(spec, service)
            self._queues[fault.on].append(fault)

    def next(self, place: str) -> Fault:
        """Return the fault for the next request to a place."""
        if place in self._always:
            return self._always[place]
        if place in self._chance:
            random, faults = self._chance[place]
            return random.choice(faults) if random.random() < self._share else NO_FAULT
        queue = self._queues.get(place)
        return queue.pop(0) if queue else NO_FAULT
