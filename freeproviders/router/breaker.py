"""What bars a service, a pool of its limits or a model: until when, why, and when to try it. No I/O.

A record is what is known against one of them, all processes together; one that nothing is known
against has no record. Records change by events alone, and each event may be applied again to a
record that another process has changed meanwhile: deadlines only move to later ones, a strike counts
once, and one probe is under way at most.

Times are of one clock, in seconds. In a written record they count from the moment of writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite
from time import monotonic
from typing import Any, Final, Literal, NamedTuple, TypeAlias

BarKind = Literal["fault", "limit", "out"]
StateName = Literal["closed", "half-open", "open", "out"]

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
MONTH: Final = 31 * DAY
LONG_SECONDS: Final = HOUR
"""Inside a cool-down that is longer than that, one probe is allowed each `PROBE_EVERY_SECONDS`."""
PROBE_EVERY_SECONDS: Final = HOUR
FORGET_SECONDS: Final = HOUR
"""How long after its end a bar is known still, so that one probe goes first and strikes add up."""
_LONGEST: Final[Mapping[BarKind, float]] = {"fault": 450.0, "limit": MONTH, "out": DAY}
"""No bar that was read lasts longer, whatever is written; one without an end has none."""
_KINDS: Final[tuple[BarKind, ...]] = ("fault", "limit", "out")
_MOST_STRIKES: Final = 40
_REASON_CHARS: Final = 300


class Bar(NamedTuple):
    """A reason not to ask.

    Attributes:
        until: when it ends, `inf` for not before it is cleared.
        since: what was admitted before is no news about it.
        strikes: how often in a row it was put up.
        probed: whether one probe decides at its end; else all may ask again.
        reason: why, in words.
    """

    until: float
    since: float
    strikes: int
    probed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """What is known against a service, a pool or a model.

    Attributes:
        fault: it fails, or cannot be reached.
        limit: it has said to come back later.
        out: it refuses for good, or must not be asked.
        probe: the token of the probe that is under way, "" for none. It counts until `probe_until`.
        probed_at: when the last probe began.
    """

    fault: Bar | None = None
    limit: Bar | None = None
    out: Bar | None = None
    probe: str = ""
    probe_until: float = -inf
    probed_at: float = -inf

    @property
    def is_clear(self) -> bool:
        """Whether nothing is known against it any more, and no probe of it is under way."""
        return self.fault is None and self.limit is None and self.out is None and not self.probe


class State(NamedTuple):
    """Whether a member may be asked now.

    Attributes:
        name: "closed": it may be asked. "open": not before `wait` is over. "half-open": by one probe
            of all processes, whose answer decides. "out": it refuses for good, or must not be asked.
        wait: seconds until it may be asked; `inf` where it is out until it is cleared.
        reason: why not, in words, "" where it is closed.
        may_be_asked: whether it may be admitted now: closed, or half-open without a probe under way.
    """

    name: StateName
    wait: float = 0.0
    reason: str = ""
    may_be_asked: bool = False

    @property
    def until(self) -> float | None:
        """When it may be asked again (`time.monotonic`), `inf` for never, None where that is unknown.

        The end of a probe that is under way is not known.
        """
        return None if self.name == "half-open" else monotonic() + self.wait


CLOSED: Final = State("closed", may_be_asked=True)
_ORDER: Final = {"closed": 0, "half-open": 1, "open": 2, "out": 3}


def state_of(record: Record, now: float) -> State:
    """Return the state by one record."""
    active = [bar for bar in (record.out, record.limit, record.fault) if bar is not None and now < bar.until]
    if not active:
        over = next((bar for bar in (record.out, record.fault, record.limit) if _is_probed(bar, now)), None)
        if over is None:
            return CLOSED
        busy = bool(record.probe) and now < record.probe_until
        wait = record.probe_until - now if busy else 0.0
        return State("half-open", wait, over.reason, may_be_asked=not busy)
    last = max(active, key=lambda bar: bar.until)
    if record.out in active:
        return State("out", last.until - now, record.out.reason if record.out else "")
    if active == [record.limit] and last.until - last.since > LONG_SECONDS:
        due = max(last.since, record.probed_at) + PROBE_EVERY_SECONDS
        if due <= now:
            return State("half-open", 0.0, last.reason, may_be_asked=True)
        return State("open", min(last.until, due) - now, last.reason)
    return State("open", last.until - now, last.reason)


def worst(states: Iterable[State]) -> State:
    """Return the state of what is behind several breakers."""
    result = CLOSED
    for state in states:
        harder, other = (state, result) if _ORDER[state.name] > _ORDER[result.name] else (result, state)
        if other is not CLOSED:
            harder = State(
                harder.name,
                max(harder.wait, other.wait),
                harder.reason,
                may_be_asked=harder.may_be_asked and other.may_be_asked,
            )
        result = harder
    return result


def _is_probed(bar: Bar | None, now: float) -> bool:
    """Whether a bar has ended so that one probe has to come first."""
    return bar is not None and bar.probed and now < bar.until + FORGET_SECONDS


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """Something that a request has shown, which bars it.

    Attributes:
        scope: what it bars.
        kind: which bar.
        at: when it was seen.
        admitted: when the request was admitted.
        token: that of the probe, where the request was one.
        until: the end as the service said it, None where it did not.
        base: how long without one, at the first strike; each further one doubles it.
        longest: the most that it lasts.
        jitter: a factor a little above 1, so that not all come back at once.
        probed: whether one probe decides at its end.
        reason: why, in words.
    """

    scope: str
    kind: BarKind
    at: float
    admitted: float
    token: str = ""
    until: float | None = None
    base: float = 0.0
    longest: float = inf
    jitter: float = 1.0
    probed: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request was answered that was admitted at that time."""

    scope: str
    admitted: float
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A question wants to be the one probe."""

    scope: str
    at: float
    token: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """A probe that has shown nothing."""

    scope: str
    token: str


Event: TypeAlias = Barred | Answered | Probe | GivenBack


def applied(record: Record, event: Event) -> Record:
    """Return the record after an event; the same object where the event changes nothing."""
    match event:
        case Barred():
            return _barred(record, event)
        case Answered():
            return _answered(record, event)
        case Probe():
            state = state_of(record, event.at)
            if state.name != "half-open" or not state.may_be_asked:
                return record
            return replace(record, probe=event.token, probe_until=event.until, probed_at=event.at)
        case GivenBack():
            if record.probe != event.token:
                return record
            return replace(record, probe="", probe_until=-inf, probed_at=-inf)


def _barred(record: Record, event: Barred) -> Record:
    is_probe = bool(event.token) and event.token == record.probe
    old: Bar | None = getattr(record, event.kind)
    known = old is not None and not is_probe and event.admitted <= old.since
    if known and event.until is None:
        return record
    strikes = min((old.strikes if old else 0) + (not known), _MOST_STRIKES)
    if event.until is None:
        length = min(event.base * 2.0 ** (strikes - 1), event.longest) * event.jitter
    else:
        length = min(max(event.until - event.at, 0.0), event.longest)
    bar = Bar(event.at + length, event.at, strikes, event.probed, event.reason[:_REASON_CHARS])
    if old is not None and old.until >= bar.until:
        bar = old._replace(strikes=strikes)
    if is_probe:
        record = replace(record, probe="", probe_until=-inf)
    elif bar == old:
        return record
    return _with(record, event.kind, bar)


def _answered(record: Record, event: Answered) -> Record:
    is_probe = bool(event.token) and event.token == record.probe

    def cleared(bar: Bar | None) -> Bar | None:
        """Return what is left of a bar: nothing, where the request was sent after it was put up."""
        if bar is None or bar.until == inf:
            return bar
        # A time that a service has named holds, whatever answers come meanwhile, but for a probe inside
        # of a long one.
        if bar.probed or (is_probe and bar.until - bar.since > LONG_SECONDS):
            return None if event.admitted > bar.since else bar
        return bar

    after = replace(record, fault=cleared(record.fault), limit=cleared(record.limit), out=cleared(record.out))
    if is_probe:
        after = replace(after, probe="", probe_until=-inf)
    return record if after == record else after


def _with(record: Record, kind: BarKind, bar: Bar | None) -> Record:
    match kind:
        case "fault":
            return replace(record, fault=bar)
        case "limit":
            return replace(record, limit=bar)
        case "out":
            return replace(record, out=bar)


def pruned(record: Record, now: float) -> Record:
    """Return the record without what no longer matters."""
    for kind in _KINDS:
        bar: Bar | None = getattr(record, kind)
        if bar is not None and bar.until + (FORGET_SECONDS if bar.probed else 0.0) <= now:
            record = _with(record, kind, None)
    if record.probe and record.probe_until <= now:
        record = replace(record, probe="", probe_until=-inf)
    return record


# --- written --------------------------------------------------------------------------------------


def dumped(records: Mapping[str, Record], at: float) -> str:
    """Write records, with times that count from `at`."""
    return json.dumps(
        {scope: _written(record, at) for scope, record in records.items()}, separators=(",", ":")
    )


def keep_seconds(records: Iterable[Record], now: float) -> float:
    """Return for how long records have to be kept: as long as a process may know of an older bar.

    So a process that looks the next time sees that it is no more.
    """
    ends = [bar.until for one in records for bar in (one.fault, one.limit, one.out) if bar is not None]
    return max(MONTH, max(ends, default=now) - now) + FORGET_SECONDS


def loaded(text: str, at: float) -> dict[str, Record]:
    """Read records that were written at a time; nothing of what cannot be read."""
    try:
        values = json.loads(text)
        return {str(scope): _record(value, at) for scope, value in values.items()}
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, RecursionError):
        return {}


def _written(record: Record, at: float) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for kind in _KINDS:
        bar: Bar | None = getattr(record, kind)
        if bar is not None:
            until = None if bar.until == inf else bar.until - at
            value[kind] = [until, at - bar.since, bar.strikes, bar.probed, bar.reason]
    if record.probe:
        value["probe"] = [record.probe, record.probe_until - at]
    if isfinite(record.probed_at):
        value["probed"] = at - record.probed_at
    return value


def _record(value: Mapping[str, Any], at: float) -> Record:
    bars: dict[str, Bar] = {}
    for kind in _KINDS:
        if (written := value.get(kind)) is not None:
            until, since, strikes, probed, reason = written
            end = at + min(float(until), _LONGEST[kind]) if until is not None else inf
            bars[kind] = Bar(
                end,
                at - float(since),
                min(int(strikes), _MOST_STRIKES),
                bool(probed),
                str(reason)[:_REASON_CHARS],
            )
    probe, ends = value.get("probe", ("", -inf))
    return Record(
        bars.get("fault"),
        bars.get("limit"),
        bars.get("out"),
        str(probe),
        at + float(ends),
        at - float(value.get("probed", inf)),
    )
