"""Secrets of a configuration, and their removal from texts that repeat them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from freeproviders.patterns import pattern

MORE: Final = " ..."
"""The end of a text that was cut."""
SHORTEST_SECRET: Final = 8  # a shorter one may be a word, and is left for the message's sake

_SECRET_NAME: Final = pattern(r"(?i)auth|key|token|secret|cookie|session|passw|credential|signature|nonce")
_KEY_VALUE: Final = pattern(r"(?:sk|pk|rk|gsk|hf|ghp|xai|nvapi|key|Bearer)[-_ ]\S{4}")
"""The prefixes by which many services' keys are known, however short they are."""
_SECRET_VALUE: Final = pattern(r"(?=\S*[0-9])(?=\S*[A-Za-z])\S{16,}")
_LONGEST_KEY: Final = 4096  # a longer text, as a picture, is no key and is not looked through
_KNOWN_KEY: Final = pattern(
    r"(?<![\w-])(?:"
    r"sk-(?:(?=[\w-]{0,40}?(?:[A-Za-z0-9]{16}|[0-9a-f]{8}-[0-9a-f]{4}-))"
    r"|(?=[\w-]{24})(?=[\w-]{0,40}[a-z])(?=[\w-]{0,40}[A-Z])(?=[\w-]{0,40}[0-9]))"
    r"|(?:gsk|hf|gh[opsru]|xai|pplx|csk|r8|fw|jina|sk(?:_live|_test)?)[-_][A-Za-z0-9]{16}"
    r"|(?:nvapi-|github_pat_|tgp_v1_|tvly-|lsv2_[a-z]{2}_|cpk_)[\w.-]{16}"
    r"|(?:AIza|AQ\.)[\w-]{30}"
    r"|eyJ[\w-]{8,2000}\.eyJ[\w-]{8,2000}\."
    r")"
)
"""The published forms of many services' keys, and of signed tokens (JWT)."""
_BEARER: Final = pattern(r"(?i)\s*bearer\s+(?=\S*[0-9]|\S{20})[\w.~+/=-]{6,}\s*")


def secrets_of(
    key: str | None,
    login: str | None,
    headers: Mapping[str, str],
    cookies: Mapping[str, str],
    proxy: str | None,
) -> list[str]:
    """List the secrets of a configuration, the longest first.

    Args:
        key: the API key.
        login: an `Authorization` header.
        headers: the caller's headers. A value counts as a secret by the header's name
            (`X-Api-Key`), or where it looks like one: long, of letters and digits and without
            blanks.
        cookies: the caller's cookies.
        proxy: the proxy's address, whose user and password count.
    """
    found = {key or "", *_of_authorization(login or ""), *cookies.values(), *_of_address(proxy or "")}
    for name, value in headers.items():
        match name.lower():
            case "authorization" | "proxy-authorization":
                found.update(_of_authorization(value))
            case "cookie":
                found.update(pair.partition("=")[2].strip() for pair in value.split(";"))
            case _ if is_secret(name, value):
                found.add(value)
    found.update([quote(secret, safe="") for secret in found])
    return sorted((secret for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)


def secrets_of_options(options: Mapping[str, object]) -> list[str]:
    """List the texts among a request's options that are secrets by their names."""
    return [
        value
        for name, value in options.items()
        if isinstance(value, str) and len(value) >= SHORTEST_SECRET and _SECRET_NAME.search(name)
    ]


def is_secret(name: str, value: str) -> bool:
    """Return whether a header is taken for a secret, by its name or by its value."""
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.fullmatch(value))


def looks_secret(value: str) -> bool:
    """Return whether a text looks like a key: long, of letters and digits, without blanks."""
    return bool(_SECRET_VALUE.fullmatch(value)) or bool(_KEY_VALUE.match(value))


def is_known_key(value: str) -> bool:
    """Return whether a text holds what has the published form of a service's key, or is `Bearer xyz`."""
    if not 8 < len(value) <= _LONGEST_KEY:
        return False
    return _KNOWN_KEY.search(value) is not None or _BEARER.fullmatch(value) is not None


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Put three asterisks for each secret in a text, also for one that the text's end cuts."""
    if text.endswith(MORE):
        return f"{without_secrets(text.removesuffix(MORE), secrets)}{MORE}"
    for secret in secrets:
        text = text.replace(secret, "***")
        for length in range(min(len(secret) - 1, len(text)), SHORTEST_SECRET - 1, -1):
            if text.endswith(secret[:length]):
                text = f"{text[:-length]}***"
                break
    return text


def _of_authorization(value: str) -> set[str]:
    """List the secrets in `Bearer xyz` or `Basic xyz`; the latter holds user and password."""
    scheme, _, secret = value.strip().rpartition(" ")
    found = {secret}
    if scheme.lower() == "basic":
        with suppress(ValueError):
            found |= _of_login(b64decode(secret, validate=True).decode())
    return found


def _of_address(url: str) -> set[str]:
    login = urlsplit(url).netloc.rpartition("@")[0]
    return _of_login(login) | _of_login(unquote(login))


def _of_login(login: str) -> set[str]:
    return {login, login.partition(":")[2], b64encode(login.encode()).decode()} if login else set()
