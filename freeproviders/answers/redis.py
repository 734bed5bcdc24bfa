"""The answers of several machines: on a Redis or Valkey server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any, Final, TypeVar, cast

from freeproviders import redis_server
from freeproviders.answers.entry import Entry, Run, State
from freeproviders.answers.store import Kept
from freeproviders.answers.threaded import Put
from freeproviders.errors import AnswerStoreError

T = TypeVar("T")

PREFIX: Final = "{freeproviders}:answers:"
"""The beginning of all names on the server; the part in braces keeps them on one node of a cluster."""
_SCRIPT: Final = files("freeproviders.answers").joinpath("answers.lua").read_text(encoding="utf-8")
_TRIES: Final = 3
"""How often a command is sent again where the connection breaks; each may be done twice."""
_LONGEST_PAUSE: Final = 1.0
_AT_ONCE: Final = 1000
"""How many entries are deleted in one step, during which the server serves no other client."""


class RedisAnswers:
    """Answers on a server. Its methods block, and raise `AnswerStoreError` where it cannot be used.

    What is "safe" is what the server makes it: with `appendfsync always` each entry is on its disk,
    with `everysec` a power cut may take the last second.
    """

    def __init__(self, url: str, *, prefix: str = PREFIX) -> None:
        self.url = redis_server.shown(url)
        self._prefix = prefix
        redis = self._redis = redis_server.package("A store of answers on Redis")
        backoff = redis.backoff.ExponentialBackoff(cap=_LONGEST_PAUSE, base=0.1)
        try:
            self._client = redis_server.client(redis, url, redis.retry.Retry(backoff, _TRIES), text=False)
        except ValueError as error:
            raise AnswerStoreError(f"{self.url} is no address of a Redis server: {error}.") from error
        self._script: Callable[..., Any] = self._client.register_script(_SCRIPT)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Read what there is under the keys, all of one moment."""
        if not keys:
            return {}
        names = [f"{self._prefix}entry:".encode() + key for key in keys]
        found = self._do(lambda: self._client.mget(names))
        return {key: _entry(text) for key, text in zip(keys, found, strict=True) if text is not None}

    def put(self, puts: Sequence[Put]) -> None:
        """Write the entries of several puts, all or none."""
        written: list[bytes | str | int] = []
        for entries, run in puts:
            for key, entry in entries:
                at = repr(entry.at) if entry.at else ""
                written += [key, entry.state, entry.tries, at, run, entry.value]
        if written:
            self._run("put", *written)

    def forget(self, keys: Sequence[bytes]) -> None:
        """Delete the entries under the keys."""
        self._run("forget", *keys)

    def begin(self, run: Run) -> None:
        """Note that a run was begun, or is gone on with."""
        rows = "" if run.rows is None else run.rows
        self._run("begin", run.name, run.source, rows, repr(run.began) if run.began else "")

    def kept(self) -> list[Kept]:
        """Count what there is, by run, the latest first."""
        found = [_kept(facts, first, latest) for facts, first, latest in self._run("kept")]
        return sorted(found, key=lambda kept: kept.latest, reverse=True)

    def delete(self, run: str | None, older_than: float | None) -> int:
        """Delete a run's entries, or all, some at a time; return their number."""
        which = (run or "", "" if run is None else "one", "" if older_than is None else repr(older_than))
        number = 0
        while deleted := self._run("delete", *which, _AT_ONCE):
            number += deleted
        return number

    def close(self) -> None:
        """Close the connections."""
        with suppress(self._redis.RedisError, OSError):
            self._client.close()

    def _run(self, *arguments: bytes | str | float) -> Any:
        return self._do(lambda: self._script(keys=[self._prefix], args=arguments))

    def _do(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except (self._redis.RedisError, OSError, ValueError, TypeError) as error:  # an option of the URL
            raise AnswerStoreError(
                f"The answers at {self.url} cannot be used: {error or type(error).__name__}."
            ) from error


def _entry(text: bytes) -> Entry:
    head, _, value = text.partition(b"\n")
    state, tries, at, _ = head.decode().split(" ")
    return Entry(state=cast("State", state), value=value, tries=int(tries), at=float(at))


def _kept(plain: Sequence[bytes], first: bytes, latest: bytes) -> Kept:
    facts = {name.decode(): value.decode() for name, value in zip(plain[::2], plain[1::2], strict=True)}
    began = float(facts.get("began", 0.0))
    counts = {
        name.removeprefix("count "): int(number)
        for name, number in facts.items()
        if name.startswith("count ") and int(number)
    }
    return Kept(
        run=Run(
            name=facts.get("name", ""),
            source=facts.get("source", ""),
            rows=int(facts["rows"]) if "rows" in facts else None,
            began=began,
        ),
        states=counts,
        bytes=int(facts.get("bytes", 0)),
        first=float(first or began),
        latest=float(latest or began),
    )
