"""Configuration of how a service is reached, read and checked in one place for everyone.

Configuration is everything about the way to a service (`base_url`, `api_key`, `timeout` ...). What
a request asks for (`temperature`, `tools` ...) is a setting and belongs to the request; what only
one service knows is an option.
"""

from __future__ import annotations

import asyncio
import copy
import os
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from inspect import Parameter, iscoroutinefunction, signature
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    Never,
    Self,
    TypedDict,
    Unpack,
    cast,
)
from urllib.parse import unquote, urlsplit

from freeproviders.checks import SETTINGS, alike
from freeproviders.deadlines import Timeout, running_loop
from freeproviders.errors import AuthenticationError, UsageError
from freeproviders.naming import argument
from freeproviders.patterns import pattern
from freeproviders.redaction import is_known_key, is_secret, looks_secret, secrets_of
from freeproviders.retry import Retry
from freeproviders.transport import Route, check_proxy

if TYPE_CHECKING:
    from freeproviders.quota.quota import Quota

_TOKEN: Final = pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_NOT_IN_A_HEADER: Final = pattern(r"[\r\n\0\ud800-\udfff]")  # halves of characters cannot be written
_NOT_IN_A_COOKIE: Final = pattern(r"[\r\n\0;\ud800-\udfff]")
_NOT_IN_A_URL: Final = pattern(r"[\s\0\ud800-\udfff]")
_NEXT_WORD: Final = pattern(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_WORD: Final = pattern(r"[^A-Za-z0-9]+")
_OF_THE_CONNECTION: Final = frozenset(
    {
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "keep-alive",
        "proxy-connection",
    }
)
"""Headers about a request's end and its connection, which only the HTTP client may write."""


KeySource = Callable[[], str | Awaitable[str]]
"""A function, sync or async, that returns the key; it is called before each request."""


class Configuration(TypedDict, total=False):
    """The configuration of a service beside its model; see `Configured` for each item."""

    base_url: str | None
    api_key: str | KeySource | None
    headers: Mapping[str, str] | None
    proxy: str | None
    timeout: Timeout | float | None
    cookies: Mapping[str, str] | None
    connector: Any
    retry: Retry | int | None
    trust_env: bool
    quota: Quota | Literal["auto"] | None


CONFIGURATION: Final = tuple(Configuration.__annotations__)
SECOND_NAMES: Final[Mapping[str, str]] = {
    "api_base": "base_url",
    "default_headers": "headers",
    "extra_headers": "headers",
    "max_retries": "retry",
    "openai_api_base": "base_url",
    "openai_api_key": "api_key",
    "openai_proxy": "proxy",
    "request_timeout": "timeout",
}
"""Names that other libraries have for the same things; they are understood wherever a call takes keywords."""
_SECOND_NAMES_OF_SETTINGS: Final[Mapping[str, str]] = {"max_completion_tokens": "max_tokens"}
"""The same for the settings of a request."""

_A_CREDENTIAL: Final = pattern(  # but not `max_token` or `eos_token`
    r"(?:^|_)(?:(?:access|api|auth|private)_?key|secret|passw(?:or)?d|passphrase|cookies?|credentials?"
    r"|authorization|(?:access|api|auth|bearer|github|hf|huggingface|refresh|session)_?token)"
    r"|(?:^|_)key(?:_?[0-9]+)?$"
    r"|^(?:auth|bearer|jwt|token)$"
)
"""Names, in lower case and with underscores, that say that the value is a credential."""
PROTOCOL_OPTIONS: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "top_logprobs",
        "verbosity",
    }
)
"""Options of the OpenAI protocol that other libraries have as arguments of their own."""
_PERHAPS_A_CREDENTIAL: Final = pattern(r"(?:key|token|secret)s?[0-9]*(?:_|$)|(?:^|_)(?:passw|credential)")
_NO_CREDENTIAL: Final = pattern(
    r"(?:^|_)(?:affinity|answer|cache|dedup|document|foreign|group|hash|idempotency|index|input|lookup|memory"
    r"|messages?|metadata|order|output|partition|primary|public|question|rate_limit|routing|run|shard|sort"
    r"|text|trace)_key$"
    r"|^key_strategy$"
)
"""Names of that kind which are none: their values are often hashes, and only a known form of key counts."""
_VARIABLES: Final[Mapping[str, str]] = {"base_url": "API_BASE", "api_key": "API_KEY", "proxy": "PROXY"}


def split(keywords: Mapping[str, Any], provider: str = "") -> tuple[Configuration, dict[str, Any]]:
    """Separate the configuration in a call's keywords from everything else.

    Returns:
        The configuration by its first names, and the rest. None leaves things as they are, so that
        it is in neither. Raises `UsageError` where two names of one thing are given, and for a
        credential in an option: it would travel in the body of the request.
    """
    configuration: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    names: dict[str, str] = {}
    if keywords.keys() <= SETTINGS:  # the most frequent case
        return {}, {**keywords}
    for name, value in keywords.items():
        first = SECOND_NAMES.get(name, name)
        if first not in Configuration.__annotations__:
            if found := credential_in(name, value):
                raise credential_error(found, provider)
            first = _SECOND_NAMES_OF_SETTINGS.get(name, name)
            if value is None and (first != name or first in rest):
                continue
            if rest.get(first) is not None and value is not None:
                raise two_names(name, names[first], provider)
            rest[first], names[first] = value, name
        elif value is not None or first == "quota":  # for which None is a value
            if first in configuration:
                raise two_names(name, names[first], provider)
            configuration[first], names[first] = value, name
    return cast("Configuration", configuration), rest


def two_names(one: str, other: str, provider: str) -> UsageError:
    """Return the error for two keywords that say the same."""
    return UsageError(
        f"{argument(one)} and {argument(other)} are two names of one thing: pass one.", provider=provider
    )


def is_credential(name: str, value: object) -> bool:
    """Return whether an option is taken for a credential: by its name, by its value, or by both.

    A name may say so itself (`api_key`, `groq_key`, `password`). What has the published form of a
    service's key (`sk-...`, `Bearer ...`) is one whatever its name, and so is what is kept as a
    `SecretStr`. A name that may be harmless (`stop_token`) is a credential's where the value looks
    like a secret: long, of letters and digits and without blanks.
    """
    if isinstance(value, bool):
        return False
    kind = _kind_of(name)
    if kind == "credential" or hasattr(value, "get_secret_value"):
        return True
    if not isinstance(value, str):
        return False
    # A token of a model's vocabulary is written `<|reserved_special_token_250|>`.
    return is_known_key(value) or (kind == "perhaps" and "<" not in value and looks_secret(value))


def credential_in(name: str, value: object) -> str | None:
    """Return the name of the first credential in an option, as `metadata.groq_key`; None without one.

    Settings are no options, and `extra_body` is the place for those that hold credentials.
    Within an option only a text counts as one. In a JSON schema names are those of fields, and beside
    a `value` the `key` is a name itself: there only a known form of key counts.
    """
    if name in SETTINGS or name == "extra_body":
        return None
    if is_credential(name, value):
        return name
    return _credential_within(name, value) if isinstance(value, Mapping | list | tuple) else None


def _credential_within(place: str, option: object) -> str | None:
    seen: set[int] = set()
    found = [(place, "", option, True)]
    for here, name, value, named in found:  # which grows meanwhile
        if id(value) in seen:  # also of a value that holds itself, which is the JSON writer's matter
            continue
        seen.add(id(value))
        says = named
        items: Iterable[tuple[str, str, object]]
        if isinstance(value, Mapping):
            says = named and "properties" not in value
            pair = "key" in value and "value" in value
            items = (
                (f"{here}.{key}", str(key) if says and not pair else "", one) for key, one in value.items()
            )
        else:
            items = ((here, name, one) for one in cast("Sequence[object]", value))
        for path, called, one in items:
            if isinstance(one, str) or hasattr(one, "get_secret_value"):
                if is_credential(called, one):
                    return path
            elif isinstance(one, Mapping | list | tuple):
                found.append((path, called, one, says))
    return None


@lru_cache(maxsize=256)
def _kind_of(name: str) -> Literal["credential", "perhaps", "none"]:
    """Tell what the name of an option says of its value, also where it is `groqApiKey` or `x-api-key`."""
    words = _NO_WORD.sub("_", _NEXT_WORD.sub("_", name)).lower()
    if _NO_CREDENTIAL.search(words):
        return "none"
    if _A_CREDENTIAL.search(words):
        return "credential"
    return "perhaps" if _PERHAPS_A_CREDENTIAL.search(words) else "none"


def credential_error(name: str, provider: str = "") -> UsageError:
    """Return the error for an option that is a credential, or holds one."""
    return UsageError(
        f"{name} looks like a credential: pass it as {argument('api_key')}, {argument('headers')} or "
        f"{argument('cookies')}, at construction or with a call. What a service wants in the body of a "
        f"request goes into {argument('extra_body')}.",
        provider=provider,
    )


def variable(slug: str, name: str) -> str:
    """Name the environment variable for `base_url`, `api_key` or `proxy` of a service."""
    return f"{slug.upper().replace('-', '_')}_{_VARIABLES[name]}"


class Outside(NamedTuple):
    """A value of the environment, and the variable that holds it."""

    value: str
    variable: str


def from_environment(slug: str, keys: Sequence[str] | None = None) -> dict[str, Outside]:
    """Read `<NAME>_API_BASE`, `<NAME>_API_KEY` and `<NAME>_PROXY` from the environment.

    `keys` are the variables that may hold the key in place of `<NAME>_API_KEY`; the first that is
    set counts.
    """
    if not slug:  # a client of our own engine, which the environment does not configure
        return {}
    places: dict[str, tuple[str, ...]] = {name: (variable(slug, name),) for name in _VARIABLES}
    if keys is not None:
        places["api_key"] = tuple(keys)
    return {
        name: Outside(os.environ[found], found)
        for name, variables in places.items()
        if (found := next((one for one in variables if os.environ.get(one)), None))
    }


def checked_outside(name: str, found: Outside, provider: str) -> str:
    """Check a value of the environment that is about to be used; an error names its variable."""
    value, place = found
    match name:
        case "api_key":
            checked_key(value, provider, given_as=place)
        case "proxy":
            check_proxy(value, place)
        case _:
            read_base_url(value, provider, place)
    return value


def unknown_names(
    given: Iterable[str], known: Iterable[str], provider: str, *, options: str = ""
) -> UsageError:
    """Return the error for keywords that a constructor does not have.

    Args:
        given: the unknown keywords.
        known: the keywords that there are.
        provider: the name for the message.
        options: the keyword that takes a service's own options, "" where there is none.
    """
    wrong, known = sorted(given), list(known)
    hints = []
    for name in wrong:
        near = SECOND_NAMES.get(name)
        if near is None or near not in known:
            near = name if name in SETTINGS else alike(name, [*known, *SETTINGS])
        if near in SETTINGS and near not in known:
            hints.append(f"{near} is a setting of a request: pass it with the question.")
        elif near:
            hints.append(f"Did you mean {near}?")
    if options:
        hints.append(f"A service's own options go into {options}.")
    elif not hints:
        hints.append(f"It takes {', '.join(known)}.")
    names = ", ".join(repr(name) for name in wrong)
    return UsageError(f"Unknown argument {names}. {' '.join(dict.fromkeys(hints))}", provider=provider)


def _arguments(cls: type) -> tuple[str, ...]:
    """Return the keywords that a provider's constructor has: its own, and the configuration."""
    kinds = {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}
    own = [one.name for one in signature(cls).parameters.values() if one.kind in kinds]
    return tuple(dict.fromkeys([*own, *CONFIGURATION]))


def quota_of(limiter: object) -> Quota | None:
    """Return the limits of a framework's rate limiter that is a `SharedQuota`; None for any other.

    A model of ours counts each HTTP request, as no rate limiter can, so that it takes these limits
    for its own: both together would count a request twice.
    """
    quota = getattr(limiter, "quota", None)
    return quota if hasattr(quota, "meter") else None


class Configured:
    """One configuration of a service.

    Args:
        base_url: where the service is: a mirror, a self-hosted clone, a replica. None is
            `<NAME>_API_BASE` of the environment, else the public address.
        api_key: sent as a bearer token where the protocol has a place for it. None is
            `<NAME>_API_KEY`. A function is asked for it once for each request (its retries have
            the same key), on a thread if it is not async, and what it returns is kept nowhere.
        headers: sent with each request; they win over the protocol's own.
        proxy: `http://user:password@host:port`. None is `<NAME>_PROXY`, "" is no proxy.
        timeout: a `Timeout`, or seconds for a whole attempt.
        cookies: sent with each request.
        connector: an aiohttp connector, which is used and never closed.
        retry: a `Retry`, or the number of retries.
        trust_env: whether the environment's general proxy variables (`HTTPS_PROXY` ...) count.
        quota: the limits that are kept: a `Quota`, None for none. "auto" are those of the service's
            row in the catalogue, where it is asked at its own address.
    """

    name: str
    slug: str = ""
    api_key_env: str | None = None
    key_variables: tuple[str, ...] | None = None
    """The environment variables that may hold the key; None is `<NAME>_API_KEY` alone."""
    default_base_url: str = ""
    default_timeout: ClassVar[Timeout] = Timeout()
    default_retry: ClassVar[Retry] = Retry()
    base_url: str
    login: str | None
    api_key: str | None
    key_source: KeySource | None = None
    """What is asked for the key, in place of `api_key`."""
    headers: dict[str, str]
    cookies: dict[str, str]
    timeout: Timeout
    retry: Retry
    route: Route

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a class with a name of its own variables of its own.

        Those of its base hold another service's key.
        """
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if "name" in own and "slug" not in own:
            cls.slug = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "-", cls.name).strip("-").lower()
        if "api_key_env" not in own and getattr(cls, "api_key_env", None) is not None and cls.slug:
            cls.api_key_env = variable(cls.slug, "api_key")

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | KeySource | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        timeout: Timeout | float | None = None,
        cookies: Mapping[str, str] | None = None,
        connector: Any = None,
        retry: Retry | int | None = None,
        trust_env: bool = False,
        quota: Quota | Literal["auto"] | None = "auto",
        **unknown: Never,
    ) -> None:
        if unknown:
            raise unknown_names(unknown, _arguments(type(self)), self.name)
        self._take_quota(quota)
        outside = from_environment(self.slug, self.key_variables)
        self.headers, self.cookies, self.api_key, self.route = {}, {}, None, Route()
        if not base_url and (address := outside.get("base_url")):
            self._take_address(*address)
        else:
            self._take_address(base_url or self.default_base_url)
        key = outside.get("api_key")
        if api_key is None and self.login is None and key and self.may_have_the_key(base_url):
            api_key = checked_outside("api_key", key, self.name)
        if proxy is None and (address := outside.get("proxy")):
            proxy = checked_outside("proxy", address, self.name)
        self._take(
            {
                "api_key": api_key,
                "headers": headers,
                "timeout": timeout,
                "cookies": cookies,
                "retry": retry,
                "proxy": proxy,
                "trust_env": trust_env,
                "connector": connector,
            }
        )

    def may_have_the_key(self, base_url: str | None) -> bool:
        """Return whether the environment's key goes to a caller's base_url, None where none was given."""
        del base_url
        return True

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        """Return a copy with another base_url, timeout ...

        The copy shares what was learned of the service. Credentials stay with the host that they
        were given for: with a base_url of another host, port or scheme, the key, the login, the
        cookies and the headers with credentials are left behind. A login in base_url takes the
        place of the key.
        """
        unknown = changes.keys() - set(CONFIGURATION)
        if unknown:
            raise unknown_names(unknown, CONFIGURATION, self.name)
        other = copy.copy(self)
        if "base_url" in changes:
            other._take_address(  # noqa: SLF001 - of the same class
                changes["base_url"] or self.default_base_url
            )
            moved = origin(other.base_url) != origin(self.base_url)
            if moved:
                other.cookies = {}
                other.headers = {
                    name: value for name, value in self.headers.items() if not is_secret(name, value)
                }
            if moved or other.login is not None:
                other.api_key = other.key_source = None
        if "quota" in changes:
            other._take_quota(changes["quota"])  # noqa: SLF001
        other._take(changes)  # noqa: SLF001
        return other

    def _take_quota(self, quota: object) -> None:
        if quota is not None and quota != "auto" and not hasattr(quota, "meter"):
            raise UsageError(
                f'{argument("quota")} must be a Quota, "auto" or None, not {quota!r}.', provider=self.name
            )
        self.quota: Any = quota

    def _take_address(self, url: object, given_as: str = "base_url") -> None:
        self.base_url, self.login = read_base_url(url, self.name, given_as)

    def _take(self, changes: Configuration) -> None:
        """Take all items but base_url, on which the others depend."""
        self.__dict__.update(read_items(changes, self.name, self.default_timeout, self.default_retry))
        if "api_key" in changes:
            key = changes["api_key"]
            self.key_source = key if callable(key) else None
            # The login takes the place of a key, so that they are told apart before any is asked for.
            known = checked_key("-" if callable(key) else key, self.name, self.login)
            self.api_key = None if callable(key) else known
        route: dict[str, Any] = {
            key: value for key, value in changes.items() if key in {"proxy", "trust_env", "connector"}
        }
        if route.get("proxy") == "":
            route["proxy"] = None  # not even the environment's
        if route:
            self.route = replace(self.route, **route)

    async def keyed(self) -> Self:
        """Return a copy for one request, with the key that the function gives now; itself without one.

        Raises `UsageError` for what is no key, `AuthenticationError` where the function raises.
        """
        source = self.key_source
        if source is None:
            return self
        running_loop()
        try:
            async with asyncio.timeout(self.timeout.total):
                found = source() if is_async(source) else await asyncio.to_thread(source)
                found = await found if isinstance(found, Awaitable) else found
        except TimeoutError as error:
            raise AuthenticationError(
                f"The function that was given as {argument('api_key')} did not answer in time.",
                provider=self.name,
            ) from error
        except Exception as error:
            what = type(error).__name__
            raise AuthenticationError(
                f"The function that was given as {argument('api_key')} raised {what}.", provider=self.name
            ) from error
        opened = getattr(found, "get_secret_value", None)
        key = checked_key(found if opened is None else opened(), self.name, given_as="api_key")
        if not key:
            raise UsageError(
                f"The function that was given as {argument('api_key')} returned no key.", provider=self.name
            )
        other = copy.copy(self)
        other.api_key, other.key_source = key, None
        return other

    @property
    def secrets(self) -> list[str]:
        """The secrets that must be removed from anything that the service sends."""
        return secrets_of(self.api_key, self.login, self.headers, self.cookies, self.route.proxy)

    def http_headers(self, **headers: str) -> dict[str, str]:
        """Return a request's headers.

        They are the protocol's, the base_url's own login and the cookies; the caller's win over
        all.
        """
        if self.login is not None:
            headers.setdefault("Authorization", self.login)
        if self.cookies:
            headers["Cookie"] = cookie_header(self.cookies)
        for key, value in self.headers.items():
            for own in [own for own in headers if own.lower() == key.lower()]:
                del headers[own]
            headers[key] = value
        return headers


def is_async(function: Callable[..., object]) -> bool:
    """Return whether a function, or an object that is called like one, is written with `async def`."""
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def cookie_header(cookies: Mapping[str, str]) -> str:
    """Write cookies as a request header."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


# --- reading each of them -------------------------------------------------------------------------


def read_items(changes: Configuration, provider: str, timeout: Timeout, retry: Retry) -> dict[str, Any]:
    """Read the headers, cookies, timeout and retry among some changes; each may be None.

    `timeout` and `retry` are the defaults.
    """
    found: dict[str, Any] = {}
    if "headers" in changes:
        found["headers"] = checked_headers(changes["headers"] or {}, provider)
    if "cookies" in changes:
        found["cookies"] = checked_cookies(changes["cookies"] or {}, provider)
    if "timeout" in changes:
        found["timeout"] = Timeout.of(changes["timeout"], timeout)
    if "retry" in changes:
        found["retry"] = Retry.of(changes["retry"], retry)
    return found


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def read_base_url(url: object, provider: str, given_as: str = "base_url") -> tuple[str, str | None]:
    """Read an address, `https://user:password@host:port/path`.

    Args:
        url: the address.
        provider: the name for the message.
        given_as: the keyword or the environment variable that holds the address.

    Returns:
        The address without its login and without a slash at its end, and the `Authorization` header
        of the login, None where it has none.
    """
    if not url:
        raise UsageError(
            f"{argument('base_url')} is required, e.g. http://localhost:11434/v1.", provider=provider
        )
    if not isinstance(url, str):
        raise UsageError(f"{argument('base_url')} must be text, not {type(url).__name__}.", provider=provider)
    url = url.strip()
    # Without a login and a query, also where the rest is no address.
    shown = re.sub(r"(?s)[?#].*", "", re.sub(r"(?s)\A(\w*:?//)?.*@", r"\1", url))[:100]
    try:
        parts = urlsplit(url)
        right = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and _NOT_IN_A_URL.search(url) is None
        )
    except ValueError:  # a port or a bracket
        right = False
    if not right:
        raise UsageError(
            f"{argument(given_as)} must look like https://host:port/path, not {shown!r}.", provider=provider
        )
    if "?" in url or "#" in url:
        raise UsageError(
            f"{argument(given_as)} must end with its path, since the endpoint is added to it: {shown!r}.",
            provider=provider,
        )
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url.rstrip("/"), None
    user, _, password = login.partition(":")
    secret = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return parts._replace(netloc=host).geturl().rstrip("/"), f"Basic {secret}"


def without_login(url: str) -> str:
    """Return an address without the user and the password in it, to be shown."""
    return re.sub(r"//[^/?#]*@", "//", url)


def checked_key(
    key: object, provider: str, login: str | None = None, given_as: str = "api_key"
) -> str | None:
    """Read an API key, without the line break that files and environments leave at its end.

    A key and a login exclude each other, since both take the same header.
    """
    if key is None:
        return None
    if not isinstance(key, str):
        raise UsageError(
            f"{argument('api_key')} must be text or a function that returns it, not {type(key).__name__}.",
            provider=provider,
        )
    key = key.strip()
    if _NOT_IN_A_HEADER.search(key):
        raise UsageError(f"{argument(given_as)} must be one line of whole characters.", provider=provider)
    if key and login:
        raise UsageError(
            f"Pass {argument('api_key')} or a user and password in {argument('base_url')}, not both: "
            "a request has one Authorization header.",
            provider=provider,
        )
    return key


def checked_headers(headers: Mapping[str, str], provider: str) -> dict[str, str]:
    """Check headers and return them as they will be sent.

    `Host` is taken, as it is needed behind an address of one's own; of `Connection`, only `close`
    and `keep-alive`.
    """
    for name, value in _items(headers, "headers", provider):
        if (
            not isinstance(name, str)
            or not isinstance(value, str)
            or not _TOKEN.fullmatch(name)
            or _NOT_IN_A_HEADER.search(value)
        ):
            raise UsageError(
                f"Header {name!r} must be a name and text without line breaks or halves of characters.",
                provider=provider,
            )
        if name.lower() in _OF_THE_CONNECTION or (
            name.lower() == "connection" and value.strip().lower() not in {"close", "keep-alive"}
        ):
            raise UsageError(
                f"Header {name!r} belongs to the connection and is written by the HTTP client: leave it out.",
                provider=provider,
            )
    return dict(headers)


def checked_cookies(cookies: Mapping[str, str], provider: str) -> dict[str, str]:
    """Check cookies and return them as they will be sent, numbers as text."""
    out = {}
    for name, value in _items(cookies, "cookies", provider):
        text = str(value) if isinstance(value, str | int) else ""
        if (
            not isinstance(name, str)
            or not isinstance(value, str | int)
            or not _TOKEN.fullmatch(name)
            or _NOT_IN_A_COOKIE.search(text)
        ):
            raise UsageError(
                f"Cookie {name!r} must be a name and text without semicolons, line breaks or "
                "halves of characters.",
                provider=provider,
            )
        out[name] = text
    return out


def _items(mapping: object, what: str, provider: str) -> Iterable[tuple[object, object]]:
    if not isinstance(mapping, Mapping):
        raise UsageError(
            f"{what} must be a mapping of names to texts, not {type(mapping).__name__}.", provider=provider
        )
    return mapping.items()
