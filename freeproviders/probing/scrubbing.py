"""What is private taken out of an exchange, so that it may be shown to others.

What is kept is listed; all else goes. Headers are kept by name, and with values that limits have;
fields of a body by name. In texts that are kept, secrets that are known go, and what looks like a
key, an account, an address or an id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from freeproviders.probing.announced import like_limits
from freeproviders.redaction import without_secrets

EXAMPLE: Final = "example"
HELLO: Final = "Hello."
_OBJECT: Final = '{"word":"Hello","letters":5}'
_ARGUMENTS: Final = '{"city":"Paris"}'
MAX_DEPTH: Final = 32
"""A document that is deeper is none of a service's; what is below goes."""

_KEPT_HEADERS: Final = frozenset({"content-type", "retry-after", "retry-after-ms"})
_TYPE: Final = re.compile(r"[a-z]{1,20}/[a-z.+-]{1,40}")
_LIMIT_VALUE: Final = re.compile(
    r"-?\d{1,13}(?:\.\d{1,9})?(?:[/,]\d{1,13})?"
    r"|(?:\d{1,9}(?:\.\d{1,9})?(?:ms|[nuµμ]s|[dhms])){1,8}"
    r"|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?"
)
_HEADER_WORDS: Final = frozenset(
    {
        "x", "rate", "ratelimit", "ratelimits", "limit", "limits", "remaining", "reset", "left",
        "used", "usage", "request", "requests", "req", "reqs", "token", "tokens", "input", "output",
        "prompt", "completion", "second", "minute", "hour", "day", "week", "month", "daily",
        "hourly", "monthly", "window", "quota", "credit", "credits", "cost", "neurons",
        "concurrent", "concurrency", "free", "model", "models", "user", "account", "project",
        "organization", "total", "query", "by", "size", "in", "at", "per", "after", "retry", "rpm",
        "rpd", "rph", "tpm", "tpd", "ms", "s", "type", "llm", "api", "count",
    }
)  # fmt: skip
"""Of nothing else are names of headers made that a row does not have: some services name the account."""
_HEADER_PERIOD: Final = re.compile(r"\d{1,2}[smhd]?")

_ANSWER_KEYS: Final = frozenset(
    {
        "id", "object", "created", "model", "choices", "index", "message", "delta", "role", "content",
        "reasoning", "reasoning_content", "refusal", "tool_calls", "type", "function", "name", "arguments",
        "finish_reason", "native_finish_reason", "usage", "prompt_tokens", "completion_tokens",
        "total_tokens",
        "prompt_tokens_details", "completion_tokens_details", "cached_tokens", "reasoning_tokens",
        "audio_tokens", "x_groq", "text", "thinking",
    }
)  # fmt: skip
_ERROR_KEYS: Final = frozenset(
    {
        "error", "errors", "message", "messages", "msg", "detail", "details", "title", "type", "@type",
        "code",
        "status", "status_code", "statusCode", "success", "object", "param", "reason", "retryDelay",
        "retry_after", "violations", "quotaMetric", "quotaId", "quotaValue", "metadata", "headers",
        "failed_generation", "limit", "remaining", "used", "result", "loc", "raw",
    }
)  # fmt: skip
_WORDS: Final = frozenset({"content", "reasoning", "reasoning_content", "refusal", "text", "thinking"})
"""Fields of an answer with the model's own words, of which none are kept."""
_NUMBERS: Final = frozenset(
    {
        "code", "status", "status_code", "statusCode", "retry_after", "quotaValue", "limit", "remaining",
        "used", "index", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens",
        "reasoning_tokens", "audio_tokens",
    }
)  # fmt: skip
_LARGEST: Final = 10**9
"""A larger number may be an account's."""
_CREATED: Final = 1795176000

_MOMENT: Final = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_EPOCH: Final = r"1[6-9]\d{8}(?:\d{3})?(?:\.\d{1,6})?"
_DURATION: Final = r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|[dhms])){1,8}"
_KEPT: Final = re.compile(rf"{_MOMENT}|{_EPOCH}|{_DURATION}")
_PRIVATE: Final = (
    re.compile(r"(?i)\b(?:bearer|basic)\s{1,4}[^\s\"'`,;]{4,}"),
    re.compile(
        r"\b(?:sk|pk|rk|gsk|hf|ghp|gho|ghs|github_pat|xai|nvapi|csk|r8|fw|tgp|pplx|key)[-_][^\s\"'`,;]{4,}"
    ),
    re.compile(r"\bAIza[^\s\"'`,;]{4,}|\beyJ[^\s\"'`,;]{8,}"),
    re.compile(r"(?<![^\s@\"<>])[^\s@\"<>]+@[^\s@\"<>]+\.[^\s@\"<>]+"),
    re.compile(r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
    re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    re.compile(r"(?i)(?<![\w:])(?=[0-9a-f:]*(?:::|(?::[0-9a-f]+){4}))[0-9a-f:]{4,}"),
    re.compile(r"(?<=://)[^\s/\"'`<>@]+@"),
    re.compile(r"(?<=\w)\?[^\s\"'`<>?=]*=[^\s\"'`<>]+"),
)
_PATH: Final = re.compile(r"(https?://[^\s/\"'`<>]{1,200})/[^\s\"'`<>]*")
"""Some services link to the account's own page."""
_STARRED: Final = re.compile(r"(?<![\w-])[\w-]*\*{3,}[\w*-]*")
"""A key of which the service shows a part."""
_ID: Final = re.compile(
    r"\b(org|user|req|acct|account|proj|project|team|cus|sess|run|file|batch|resp)([-_])([A-Za-z0-9]+)"
)
_ALWAYS_IDS: Final = frozenset({"org", "user", "req"})
_WHOSE: Final = (
    r"(?:account|organi[sz]ation|org|user(?: ?name)?|team|project|workspace|tenant|customer|member|login"
    r"|owner)(?:[ _-](?:name|id))?"
)
_QUOTED_AFTER: Final = re.compile(
    rf"(?i)\b({_WHOSE}\s{{0,3}}(?:[:=]|is)?\s{{0,3}})([\"'`])([^\"'`]{{1,200}})\2"
)
_UNQUOTED_AFTER: Final = re.compile(rf"(?i)\b({_WHOSE}\s{{0,3}}[:=]\s{{0,3}})([^\s\"'`,;]+)")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_+=%~-]{8,}")
_SHORTEST_WORD: Final = 5
_LETTERS: Final = 24
"""A run of so many letters is no word."""


class Scrubber:
    """Takes what is private out of headers, bodies and texts.

    Args:
        secrets: texts that must not be kept, as keys.
        models: names that are kept though they look like ids.
        words: texts that tell refusals apart, and are kept too.
    """

    def __init__(
        self, secrets: Iterable[str] = (), models: Iterable[str] = (), words: Iterable[str] = ()
    ) -> None:
        self._secrets = sorted({one for one in secrets if one}, key=len, reverse=True)
        words = [word for word in words if not self._is_known(word)]
        kept = {*models, *words}
        self._words = [word for word in words if len(word) >= _SHORTEST_WORD]
        self._kept = {
            token for text in kept for token in (text, *_TOKEN.findall(text)) if not self._is_known(text)
        }
        self._models = frozenset(one for one in models if not self._is_known(one))

    def headers(self, headers: Mapping[str, str], known: Collection[str] = ()) -> dict[str, str]:
        """Return the headers that tell of limits, and the type; `known` are names of the row's own."""
        own = {*_KEPT_HEADERS, *(name.lower() for name in known)}
        wanted = {*own, *like_limits(headers)}
        found: dict[str, str] = {}
        for given, said in headers.items():
            name, value = given.lower(), said.strip()
            if name == "content-type":
                value = value.partition(";")[0].strip().lower()
                right = bool(_TYPE.fullmatch(value))
            else:
                right = bool(_LIMIT_VALUE.fullmatch(value)) and (name in own or _is_plain(name))
            if name in wanted and right and not self._is_known(value) and not self._is_known(name):
                found[name] = value
        return found

    def body(self, body: bytes, *, error: bool) -> str:
        """Return a body without what is private: JSON, a stream of events, or text."""
        text = body.decode("utf-8", "replace")
        keys = _ERROR_KEYS if error else _ANSWER_KEYS
        try:
            return _dumped(self._cleaned(json.loads(text), keys))
        except (ValueError, RecursionError):
            pass
        if not error or re.search(r"(?m)^(?:data|event):", text):
            return self._events(text)
        return self.text(text)

    def text(self, text: str) -> str:
        """Return a text without secrets, keys, accounts, addresses and ids."""
        if text in self._models:
            return text
        text = without_secrets(text, self._secrets)
        for private in _PRIVATE:
            text = private.sub(self._unless_kept("***"), text)
        text = _PATH.sub(self._without_path, text)
        text = _STARRED.sub("***", text)
        text = _QUOTED_AFTER.sub(rf"\1\2{EXAMPLE}\2", text)
        text = _UNQUOTED_AFTER.sub(rf"\1{EXAMPLE}", text)
        text = _ID.sub(self._id, text)
        return _TOKEN.sub(self._token, text)

    # --- texts ---

    def _is_known(self, text: str) -> bool:
        """Return whether a text has a secret that is known."""
        return any(secret in text for secret in self._secrets)

    def _unless_kept(self, instead: str) -> Any:
        return lambda match: match[0] if match[0] in self._kept else instead

    def _without_path(self, match: re.Match[str]) -> str:
        """Leave the path of an address out, unless a refusal is told by it."""
        return match[0] if any(word in match[0] for word in self._words) else match[1]

    def _id(self, match: re.Match[str]) -> str:
        prefix, joint, rest = match.groups()
        if match[0] in self._kept or match[0] == "user_id":
            return match[0]
        if prefix in _ALWAYS_IDS or any(char.isdigit() for char in rest):
            return f"{prefix}{joint}{EXAMPLE}"
        return match[0]

    def _token(self, match: re.Match[str]) -> str:
        """Keep a word, a name that is known and a time; all else of digits and letters may be an id."""
        token = match[0]
        if token in self._kept or _KEPT.fullmatch(token.rstrip("Z")) or _KEPT.fullmatch(token):
            return token
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d", token):  # the colon ends a token
            return token
        digits = sum(char.isdigit() for char in token)
        letters = sum(char.isalpha() for char in token)
        long = max((len(run) for run in re.findall(r"[A-Za-z]+", token)), default=0)
        if not digits and any(word in token for word in self._words):
            return token
        if (digits and letters) or digits > 8 or long > _LETTERS:  # a date has 8
            return EXAMPLE
        return token

    # --- documents ---

    def _events(self, text: str) -> str:
        """Return a stream of events: its data one by one, and no comments and ids."""
        lines = []
        for line in text.splitlines():
            name, _, value = line.partition(":")
            value = value.strip()
            if name == "event" and value in {"error", "message"}:
                lines.append(f"event: {value}")
            elif name == "data" and value == "[DONE]":
                lines.append("data: [DONE]")
            elif name == "data":
                try:
                    found = json.loads(value)
                except (ValueError, RecursionError):
                    continue
                failed = isinstance(found, dict) and bool({"error", "errors"} & found.keys())
                keys = _ERROR_KEYS | _ANSWER_KEYS if failed else _ANSWER_KEYS
                lines.append(f"data: {_dumped(self._cleaned(found, keys))}")
            elif not line and lines and lines[-1]:
                lines.append("")
        return "\n".join(lines).strip("\n") + "\n\n" if lines else ""

    def _cleaned(self, value: Any, keys: frozenset[str], name: str = "", depth: int = 0) -> Any:
        """Copy a document with the fields that are kept."""
        if depth > MAX_DEPTH:
            return None
        if isinstance(value, dict):
            if name == "headers":
                return self.headers({str(key): str(one) for key, one in value.items()})
            return {
                key: self._cleaned(one, keys, key, depth + 1) for key, one in value.items() if key in keys
            }
        if isinstance(value, list):
            return [self._cleaned(one, keys, name, depth + 1) for one in value]
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int | float):
            if name == "created":
                return _CREATED
            return value if name in _NUMBERS and abs(value) < _LARGEST else 0
        return self._text_of(str(value), name)

    def _text_of(self, text: str, name: str) -> str:
        if not text:
            return ""
        if name in _WORDS:
            return _OBJECT if text.lstrip().startswith("{") else HELLO
        match name:
            case "id":
                return "call_example" if text.startswith("call") else "chatcmpl-example"
            case "arguments":
                return _ARGUMENTS if text.strip().startswith("{") else ""
            case _:
                return self.text(text)


def _is_plain(name: str) -> bool:
    """Return whether the name of a header is made of words that tell of limits, and of nothing else."""
    return all(word in _HEADER_WORDS or _HEADER_PERIOD.fullmatch(word) for word in re.split("[-_]", name))


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
