"""Reading of error answers: status, headers and body become one typed error.

Services write errors in eight shapes: `{"error": {...}}`, `{"error": "text"}`, `{"object": "error",
...}`, a list around one of them, `{"success": false, "errors": [...]}`, `{"title", "detail"}`,
`{"message"}` or `{"detail"}`, and HTML. The status decides what an HTML page means, unless the page
is a bot check. Of a service in the catalogue, the signs of its row say what a refusal is about.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ContentFilterError,
    ContextOverflowError,
    NotFoundError,
    NotInPlanError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    RequestTooLargeError,
    RetiredModelError,
    ServerError,
    ToolsNotSupportedError,
)
from freeproviders.patterns import pattern
from freeproviders.records import record
from freeproviders.redaction import MORE
from freeproviders.wire.json import loads
from freeproviders.wire.limits import (
    LONGEST_RESET_SECONDS,
    Allowance,
    AllowanceHeaders,
    read_allowances,
    read_seconds,
    seconds_from,
    seconds_until,
)
from freeproviders.wire.signs import Kind, Sign, find_sign
from freeproviders.wire.text import mended

EXCERPT_CHARS: Final = 300
MAX_SIGN_BYTES: Final = 2**16
"""The most bytes of a body that are searched for the signs of a row."""

_SECRET = pattern(r"(?i)\b(bearer\s+|sk-|gsk_|nvapi-|xai-|hf_|key-|AIza)[A-Za-z0-9_\-.]{6,200}")
_TRY_AGAIN = pattern(
    r"(?i)(?:try again (?:in|after)|retry (?:in|after)|retrydelay\W{1,6})\s{0,3}"
    r"(?:(\d{1,4}) ?h(?:ours?)? ?)?(?:(\d{1,5}) ?m(?:in(?:ute)?s?)?(?![a-z]) ?)?"
    r"(?:(\d{1,7}(?:\.\d{1,9})?) ?(ms|milliseconds?|s))?"
)
_CONTEXT = pattern(
    r"(?i)context_length_exceeded|exceed_context_size|context (?:length|window|size)"
    r"|too many (?:input )?tokens|prompt is too long|maximum.{1,20}tokens"
)
_NUMBER = r"(\d{1,3}(?:,\d{3})++(?!\d)|\d{1,9}+(?!\d))"
_WINDOW = pattern(
    r"(?i)context (?:length|window|size)(?: limit)?(?: is| of|:)?(?: only)? \(?"
    + _NUMBER
    + rf"(?!\)?(?: tokens?\)?)? (?:exceed|is |>))|(?:> |with ){_NUMBER} maximum\b"
    + rf"|maximum number of tokens allowed \({_NUMBER}\)"
)
"""The words of a refusal around the number of tokens that the window has, not that of the question."""
_LONG_TEXT = pattern(r"(?i)input (?:\(\d{1,9} tokens\) )?is too large to process")
"""The words of llama.cpp's server for a text that is too long for one vector, with status 500."""
_NO_TOOLS = pattern(
    r"(?i)(?:does not|doesn't|do not) support (?:native )?(?:tools|tool use|tool.?call|function)"
    r"|no endpoints found that support tool"
    r"|(?:tools?|tool use|(?:tool|function).call(?:s|ing)?)['\"`]? (?:(?:is|are) )?not (?:supported|enabled)"
    r"|support parameters?: ?\[[^\]]{0,200}['\"]tools['\"]"
    r"|tools param requires|tool choice requires --enable"
    r"|(?:unrecognized|unsupported|unknown|unexpected|extra|additional) [^.\[]{0,60}['\" ]tools"
    r"(?:['\"]|\b(?![.\[]))"
    r"|['\"]body['\"], ?['\"]tools['\"]\]"
)
_NO_MODEL = pattern(
    r"(?i)no such model|unknown model|model_not_found|模型不存在|is not a valid model"
    r"|\bmodel ['\"`]?[\w/.:@-]{1,100}['\"`]? (?:does not exist|(?:was |is )?not found)"
)
_QUOTA = pattern(r"(?i)insufficient_quota|per[-_ ]?day|per[-_ ]?month|daily|monthly|limit: 0\b")
_MONEY = pattern(r"(?i)credit|billing|payment")
_SHORT = pattern(r"(?i)per[-_ ]?(?:min|sec)")
_TOO_MUCH = pattern(
    r"(?i)rate.?limit|too many requests|quota exceeded|exceeded .{0,40}quota|insufficient_quota"
)
_FILTERED = pattern(r"(?i)content_filter|content_policy|content management policy|moderation")
_HTML = pattern(
    rb"(?i)[\s\xef\xbb\xbf]{0,64}(?:<\?xml[^>]{0,200}>\s{0,64})?"
    rb"(?:<!--|<!doctype html|<html|<head|<body)"
)
_TITLE = pattern(rb"(?is)<title[^>]{0,100}>(.{0,300}?)</title")
_CHALLENGE = pattern(
    rb"(?i)_cf_chl|cf-chl|challenge-platform|<title>just a moment|attention required! \| cloudflare"
    rb"|you have been blocked|checking your browser before|verify(?:ing)? (?:that )?you are (?:a )?human"
    rb"|_incapsula_resource|ddos-guard|pardon our interruption|datadome"
)
_CAPTCHA = pattern(rb"(?i)captcha|challenge")
_CAPTCHA_STATUSES: Final = frozenset({403, 405, 429, 503})
"""Pages of any other status hold these words for other reasons, such as the form on a site's own 404 page."""

_BY_STATUS: Final[Mapping[int, type[ProviderError]]] = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ServerError,
    409: ServerError,
    410: NotFoundError,
    425: RateLimitError,
    429: RateLimitError,
}
_BY_KIND: Final[Mapping[Kind, type[ProviderError]]] = {
    "minute": RateLimitError,
    "hour": RateLimitError,
    "day": QuotaExceededError,
    "month": QuotaExceededError,
    "credit": QuotaExceededError,
    "concurrency": RateLimitError,
    "overload": OverloadedError,
    "upstream": RateLimitError,
    "down": ServerError,
    "not-in-plan": NotInPlanError,
    "retired": RetiredModelError,
    "too-large": RequestTooLargeError,
    "key": AuthenticationError,
    "region": PermissionDeniedError,
    "permission": PermissionDeniedError,
    "request": BadRequestError,
}
_PERIODS: Final = frozenset({"minute", "hour", "day", "month"})
_PASSING: Final = frozenset({"", *_PERIODS, "concurrency", "overload", "upstream", "down"})
"""What a refusal may be about so that waiting helps."""


@record
class ReportedError:
    """The content of an error body, whatever its shape.

    `codes` are all that the error calls its code, type or status; `headers` those that a service
    repeats inside the body, with names in lower case; `wait` is the seconds until another try, and
    `window` the size of the context that was too small.
    """

    message: str
    code: str | None = None
    status: int | None = None
    failed_generation: str | None = None
    codes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float | None = None
    window: int | None = None


def read_failure(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    signs: Sequence[Sign] = (),
    announces: Sequence[AllowanceHeaders] = (),
    now: datetime | None = None,
) -> ProviderError:
    """Turn an answer with an error status into the error to raise.

    Args:
        status: the HTTP status.
        headers: the answer's headers, whose names are looked up in any case.
        body: the answer's body, or the beginning of a long one.
        signs: the signs of the service's row.
        announces: how the service announces its limits.
        now: the time of the answer; None is the present.
    """
    if "cf-mitigated" in headers or is_challenge(body, status):
        error: ProviderError = blocked(body, status=status)
        _date(error, None, headers, (), now)
    else:
        if looks_like_html(body):
            reported = ReportedError(_title(body) or "The service answered with an HTML page")
        else:
            reported = read_reported_error(_try_json(body)) or ReportedError(
                excerpt(body) or "The service answered with an error"
            )
        error = classify(
            status, reported, signs=signs, announces=announces, headers=headers, body=body, now=now
        )
    error.body = excerpt(body)
    return error


def classify(
    status: int | None,
    reported: ReportedError,
    *,
    signs: Sequence[Sign] = (),
    announces: Sequence[AllowanceHeaders] = (),
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    now: datetime | None = None,
) -> ProviderError:
    """Choose the error for a status and what was reported; status None is an error inside a 200."""
    message = mended(reported.message)
    known = _Headers(headers or {}, reported.headers)
    statuses = {200, reported.status} if status is None else {status}
    status = status or reported.status
    cls = _class_of(status, f"{reported.code or ''} {message}")
    sign = find_sign(
        signs,
        statuses=statuses,
        said=f"{body[:MAX_SIGN_BYTES].decode('utf-8', 'replace')}\n{message}" if signs else "",
        codes=reported.codes,
        headers=known,
    )
    if sign is not None and cls is ToolsNotSupportedError and sign.kind != "request":
        sign = None  # tools are asked for in another way then, whatever else such a refusal may mean
    error = (cls if sign is None else _BY_KIND[sign.kind])(
        shortened(redact(message)),
        status=status,
        code=mended(reported.code) if reported.code else None,
    )
    error.failed_generation = reported.failed_generation
    if isinstance(error, ContextOverflowError):
        error.window = reported.window or _window_in(message)
    if sign is not None:
        _name(error, sign)
    _date(error, reported, known, announces, now)
    return error


def disguised(sign: Sign, text: str) -> ProviderError:
    """Return the error for an answer whose whole text is a refusal."""
    error = _BY_KIND[sign.kind](shortened(redact(mended(text))))
    _name(error, sign)
    _date(error, ReportedError(text), {}, (), None)
    return error


def _name(error: ProviderError, sign: Sign) -> None:
    """Add to an error what the sign says by which it was recognised."""
    error.sign, error.kind, error.scope, error.metric = sign, sign.kind, sign.scope, sign.metric
    if sign.advice:
        error.advice = sign.advice


def _date(
    error: ProviderError,
    reported: ReportedError | None,
    headers: Mapping[str, str],
    announces: Sequence[AllowanceHeaders],
    now: datetime | None,
) -> None:
    """Add the limits that were announced, and when to come back.

    What the service says to that very question counts before what it announces of its limits.
    """
    now = now or datetime.now(UTC)
    if announces:
        error.allowances = tuple(
            [_of_refusal(one, error) for one in read_allowances(headers, announces, now)]
        )
    if error.kind not in _PASSING:
        return
    after = retry_after(headers, now)
    if reported is not None and isinstance(error, RateLimitError | OverloadedError):
        hints = [hint for hint in (_retry_hint(mended(reported.message)), reported.wait) if hint is not None]
        if hints and (after is None or after - 1 < max(hints) < after):  # a header has whole seconds
            after = _clamped(max(hints))
    if after is None and isinstance(error, RateLimitError):
        after = _until_reset(error, now)
    if after is not None:
        error.retry_after, error.soonest = after, seconds_from(now, after)


def _of_refusal(allowance: Allowance, error: ProviderError) -> Allowance:
    """Add to an allowance what its headers leave to the refusal: the period."""
    if allowance.per or allowance.metric == "concurrency" or error.kind not in _PERIODS:
        return allowance
    return replace(allowance, per=error.kind, scope=allowance.scope or error.scope)


def _until_reset(error: ProviderError, now: datetime) -> float | None:
    """Return the seconds until all allowances that are used up have come back, if that is told."""
    if error.kind in {"concurrency", "upstream"}:
        return None  # others decide about it
    resets = [
        one.reset_at
        for one in error.allowances
        if one.remaining == 0
        and one.reset_at is not None
        and (error.kind not in {"day", "month"} or one.per == error.kind)  # a minute's is of no help then
    ]
    return (max(resets) - now).total_seconds() if resets else None


class _Headers(Mapping[str, str]):
    """The headers of an answer, and behind them those that its body repeats."""

    def __init__(self, sent: Mapping[str, str], repeated: Mapping[str, str]) -> None:
        self._sent = sent
        self._repeated = repeated

    def __getitem__(self, name: str) -> str:
        return self._sent[name] if name in self._sent else self._repeated[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._repeated, **self._sent})

    def __len__(self) -> int:
        return len({**self._repeated, **self._sent})


def _class_of(status: int | None, said: str) -> type[ProviderError]:
    if status == 429:
        return _limit(said)
    if _LONG_TEXT.search(said) or (_CONTEXT.search(said) and (status is None or 400 <= status < 500)):
        return ContextOverflowError
    if _NO_TOOLS.search(said):
        return ToolsNotSupportedError
    if _FILTERED.search(said):
        return ContentFilterError
    if status is None:
        if not _TOO_MUCH.search(said):
            return ServerError
        return _limit(said)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 400 and _NO_MODEL.search(said):
        return NotFoundError
    return BadRequestError if status < 500 else ServerError


def _limit(said: str) -> type[RateLimitError]:
    """Tell an allowance that is used up from too much for now.

    Talk of money beside a minute's limit, or beside a time to try again, is an advertisement.
    """
    if _QUOTA.search(said):
        return QuotaExceededError
    if _MONEY.search(said) and not _SHORT.search(said) and _retry_hint(said) is None:
        return QuotaExceededError
    return RateLimitError


def read_reported_error(document: object, depth: int = 1) -> ReportedError | None:
    """Find the error that a JSON document reports; None where it reports none.

    `depth` is how often an error may stand inside the text of another one.
    """
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, Mapping):
        return None
    errors = document.get("errors")
    inner = document.get("error") or (errors[0] if isinstance(errors, list) and errors else None)
    if isinstance(inner, str):
        message, codes = document.get("message"), _codes(document)
        if isinstance(message, str) and message:
            # "error" is but the name of the status
            return ReportedError(message, code=inner, codes=(inner, *codes))
        return ReportedError(inner, code=_str(document.get("code")), codes=codes)
    source = inner if isinstance(inner, Mapping) else document
    message = next(
        (text for key in ("message", "detail", "msg", "title") if (text := _flat(source.get(key)))), None
    )
    if message is None:
        message = _flat(source) if inner is not None else None
    if message is None:
        return None
    metadata = source.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(raw := metadata.get("raw"), str) and raw:
        # A service in front of another one repeats what that one has said.
        below = read_reported_error(_try_json(raw.encode()), depth - 1) if depth else None
        message = f"{message}: {raw if below is None else below.message}"
    code = source.get("code")
    status = next(
        (
            value
            for value in (code, source.get("status"), source.get("status_code"))
            if isinstance(value, int)
        ),
        None,
    )
    return ReportedError(
        message,
        code=next(
            (
                value
                for value in (code, source.get("type"), source.get("status"))
                if isinstance(value, str) and value
            ),
            None,
        )
        or _str(code),
        status=status if status is not None and 400 <= status < 600 else None,
        failed_generation=_str(source.get("failed_generation")),
        codes=_codes(source),
        headers=_repeated_headers(source),
        wait=_retry_delay(source),
        window=_count(source.get("n_ctx")),  # llama.cpp
    )


def _window_in(message: str) -> int | None:
    """Find the size of the context window in the words of a refusal, None where they do not tell it."""
    found = _WINDOW.search(message)
    return (
        _count(int(found[found.lastindex].replace(",", "")))
        if found is not None and found.lastindex
        else None
    )


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _codes(source: Mapping[str, Any]) -> tuple[str, ...]:
    """Return all that an error calls its code, as texts."""
    return tuple([text for key in ("code", "type", "status") if (text := _str(source.get(key)))])


def _repeated_headers(source: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that one service repeats in `metadata` of its errors."""
    metadata = source.get("metadata")
    headers = metadata.get("headers") if isinstance(metadata, Mapping) else None
    if not isinstance(headers, Mapping):
        return {}
    return {str(name).lower(): text for name, value in headers.items() if (text := _str(value)) is not None}


def _retry_delay(source: Mapping[str, Any]) -> float | None:
    """Return the seconds of Google's `RetryInfo` among the details of an error."""
    details = source.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str) and (seconds := read_seconds(delay)) is not None:
            return seconds
    return None


def error_in_success(document: object) -> ReportedError | None:
    """Find the error in a document of a 200; only shapes that cannot be an answer count."""
    if isinstance(document, list):
        document = document[0] if len(document) == 1 else None
    if not isinstance(document, Mapping):
        return None
    failed = (
        document.get("error")
        or document.get("errors")
        or document.get("object") == "error"
        or document.get("success") is False
    )
    if failed or ("choices" not in document and ("detail" in document or "message" in document)):
        return read_reported_error(document)
    return None


def looks_like_html(data: bytes) -> bool:
    """Return whether an answer begins as a web page does."""
    return _HTML.match(data) is not None


def is_challenge(body: bytes, status: int | None = None) -> bool:
    """Return whether a body is a web page with the marks of a bot check."""
    if not looks_like_html(body):
        return False
    if _CHALLENGE.search(body):
        return True
    return status in _CAPTCHA_STATUSES and _CAPTCHA.search(body) is not None


def blocked(body: bytes, *, status: int | None = None) -> BlockedError:
    """Return the error for a bot check, or for another web page where data was due."""
    what = "A bot check" if is_challenge(body, status) else "An HTML page"
    return BlockedError(
        f"{what} came where data was due.", status=status if status != 200 else None, body=excerpt(body)
    )


def excerpt(body: bytes) -> str:
    """Return the beginning of a body, on one line and without anything like a credential."""
    text = body[: 4 * EXCERPT_CHARS].decode("utf-8", "replace")
    return shortened(redact(" ".join(text.split())))


def shortened(text: str) -> str:
    """Return the beginning of a text that is too long for an error, up to the end of a word."""
    if len(text) <= EXCERPT_CHARS:
        return text
    begin = text[: EXCERPT_CHARS - len(MORE)]
    words, blank, _ = begin.rpartition(" ")
    return f"{words if blank and len(words) > EXCERPT_CHARS // 2 else begin}{MORE}"


def redact(text: str) -> str:
    """Replace what looks like a credential."""
    return _SECRET.sub(r"\1***", text)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read `Retry-After-Ms` or `Retry-After` (seconds or an HTTP date) as seconds from now."""
    try:
        if (milliseconds := headers.get("Retry-After-Ms")) is not None:
            return _clamped(float(milliseconds) / 1000)
        value = headers.get("Retry-After")
        if value is None:
            return None
        try:
            return _clamped(float(value))
        except ValueError:
            now = now or datetime.now(UTC)
            return _clamped(seconds_until(parsedate_to_datetime(value), now, headers.get("Date")))
    except (ValueError, TypeError, OverflowError):
        return None  # an unreadable hint is no hint


def _clamped(seconds: float) -> float | None:
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_RESET_SECONDS)


def _retry_hint(message: str) -> float | None:
    match = _TRY_AGAIN.search(message)
    if match is None:
        return None
    hours, minutes, number, unit = match.groups()
    if not (hours or minutes or number):
        return None
    return (
        float(hours or 0) * 3600
        + float(minutes or 0) * 60
        + float(number or 0) * (1 if unit in {"s", "S"} else 0.001)
    )


def _title(page: bytes) -> str | None:
    """The title of a web page, without the status that servers begin it with."""
    match = _TITLE.search(page)
    if match is None:
        return None
    title = " ".join(html.unescape(match[1].decode("utf-8", "replace")).split())
    return re.sub(r"^[45]\d\d\b[\s:|-]*", "", title) or title or None


def _try_json(body: bytes) -> Any:
    try:
        return loads(body)
    except ValueError:
        return None


def _flat(value: object) -> str | None:
    """Return one line of a message, which may be a list of findings or JSON text."""
    if isinstance(value, str):
        return value or None
    return None if value is None else str(value)[:EXCERPT_CHARS]


def _str(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
