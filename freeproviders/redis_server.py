"""The way to a Redis or Valkey server, for all that several machines share."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from freeproviders.errors import MissingDependencyError
from freeproviders.installing import with_extra

_SCHEMES: Final = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")
_ANSWER_SECONDS: Final = 3.0


def is_url(place: str) -> bool:
    """Return whether a text is the address of a server."""
    return place.startswith(_SCHEMES)


def shown(url: str) -> str:
    """Return an address without its login and its options, to be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def need_package(what: str) -> None:
    """Raise `MissingDependencyError` where the package redis is missing, which `what` needs."""
    if find_spec("redis") is None:
        raise _missing(what)


def package(what: str) -> Any:
    """Return the package redis, which is an extra. Raises `MissingDependencyError`."""
    try:
        import redis  # noqa: PLC0415 - only such a server needs it
        import redis.backoff  # noqa: PLC0415
        import redis.retry  # noqa: PLC0415
    except ImportError as error:
        raise _missing(what) from error
    return redis


def client(redis: Any, url: str, retry: Any, *, text: bool) -> Any:
    """Return a client, which connects when it is first used.

    Args:
        redis: the package.
        url: the server's address.
        retry: the package's own rules for sending a command again.
        text: whether answers are texts and not bytes.

    Raises:
        ValueError: it is no address.
    """
    return redis.Redis.from_url(
        url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_ANSWER_SECONDS,
        health_check_interval=30,
        retry=retry,
        decode_responses=text,
    )


def _missing(what: str) -> MissingDependencyError:
    return MissingDependencyError(f"{what} needs the package redis.", advice=with_extra("redis"))
