"""The rule that refuses pages of browsers, strange host names and, on a network, missing keys.

A page that the user visits can send requests to this machine, from the user's own browser. What such
requests cannot do is hide where they come from: the browser writes `Origin` and `Sec-Fetch-Site`,
and with a name of the page's own that leads here (DNS rebinding) it writes that name into `Host`. A
request with a JSON body is sent only after a question (`OPTIONS`) that is not answered with yes.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final

from freeproviders.addresses import is_loopback_host
from freeproviders.errors import UsageError
from freeproviders.gateway.refusals import Refusal

MIN_KEY_CHARS: Final = 16
"""The least number of characters of a key, where other machines may try to guess it."""
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#*@\s]+/?", re.IGNORECASE)
_OWN_SITE: Final = frozenset({"none", "same-origin"})
_ALLOWED_HEADERS: Final = "authorization, content-type, openai-organization, openai-project, x-request-id"


class Guard:
    """The rule that decides which requests may ask.

    Args:
        host: the address that is listened at.
        api_key: what clients must send as their key, None where none is asked for.
        hosts: further names by which clients may call the gateway.
        origins: pages of a browser that may ask, as "https://chat.example".

    Raises:
        UsageError: there is no key, or a short one, where others can ask; an origin is none.
    """

    def __init__(
        self,
        host: str,
        api_key: str | None = None,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
    ) -> None:
        self.is_local = is_loopback_host(host)
        if api_key is not None and not _can_be_sent(api_key):
            raise UsageError("api_key must be a text of ASCII characters without blanks, and not empty.")
        if not self.is_local and api_key is None:
            raise UsageError(
                f"Programs of other machines can ask at {host}, so a key is needed: pass api_key, or set "
                "FREEPROVIDERS_SERVE_KEY. Else listen at 127.0.0.1."
            )
        if not self.is_local and api_key is not None and len(api_key) < MIN_KEY_CHARS:
            raise UsageError(
                f"The key is too short for {host}, where others can guess it: make one of at least "
                f"{MIN_KEY_CHARS} characters, as with: python -c 'import secrets; "
                "print(secrets.token_urlsafe())'."
            )
        self._key = None if api_key is None else api_key.encode()
        self._hosts = frozenset(name.lower().strip("[]") for name in (*hosts, host))
        self._origins = frozenset(_origin(one) for one in origins)

    @property
    def wants_key(self) -> bool:
        """Whether clients must send a key."""
        return self._key is not None

    def check(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Check where a request comes from; return the headers that a page of a browser must see.

        Raises `Refusal`.
        """
        self._check_host(headers.get("Host", ""))
        origin = headers.get("Origin")
        if origin is None:
            site = headers.get("Sec-Fetch-Site", "none").lower()
            if site not in _OWN_SITE:
                raise _of_a_page(f"a page of another site ({site})")
            return {}
        if origin.lower().rstrip("/") not in self._origins:
            raise _of_a_page(f"the page {origin!r:.100}")
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def check_key(self, authorization: str) -> None:
        """Check the key of a request. Raises `Refusal`."""
        if self._key is None:
            return
        scheme, _, given = authorization.partition(" ")
        given = given.strip() if scheme.lower() == "bearer" else ""
        # In constant time, so that the key cannot be learned letter by letter.
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._key):
            what = "Incorrect API key provided." if given else "You didn't provide an API key."
            raise Refusal(
                401,
                f"{what} Send the key of this gateway, as 'Authorization: Bearer ...'.",
                code="invalid_api_key",
                kind="authentication_error",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def preflight(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Answer a browser that asks whether a page may ask. Raises `Refusal` where it may not."""
        allowed = self.check(headers)
        if not allowed:
            raise Refusal(405, "OPTIONS is not allowed here.", code="method_not_allowed")
        allowed |= {
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": headers.get("Access-Control-Request-Headers", _ALLOWED_HEADERS),
            "Access-Control-Max-Age": "600",
        }
        if headers.get("Access-Control-Request-Private-Network") == "true":
            allowed["Access-Control-Allow-Private-Network"] = "true"
        return allowed

    def _check_host(self, given: str) -> None:
        """Refuse a name that is not this machine's; elsewhere the key protects.

        "" is no browser's: HTTP/1.0 knows no such header.
        """
        if not self.is_local:
            return
        name = _without_port(given)
        if given and not (is_loopback_host(name) or name.lower() in self._hosts):
            raise Refusal(
                403,
                f"This gateway is not called {name!r:.100}: call it localhost. Further names are allowed "
                "with --allow-host.",
                code="host_not_allowed",
                kind="permission_error",
            )


def _origin(given: str) -> str:
    """Read the origin of pages that may ask. Raises `UsageError` on one that is of no page, or of many.

    A browser sends "null" for every page in a sandbox.
    """
    if not _ORIGIN.fullmatch(given):
        raise UsageError(
            f"A page that may ask must look like https://host or https://host:port, not {given!r:.200}."
        )
    return given.lower().rstrip("/")


def _can_be_sent(key: object) -> bool:
    """Whether a client can send a key: a header loses the blanks at its ends, as of a file's last line."""
    return isinstance(key, str) and key.isascii() and key.isprintable() and key != "" and " " not in key


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _of_a_page(origin: str) -> Refusal:
    return Refusal(
        403,
        f"The request comes from {origin}: a page of a browser may not ask here. Pages are allowed with "
        "--allow-origin.",
        code="origin_not_allowed",
        kind="permission_error",
    )
