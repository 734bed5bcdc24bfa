"""Answers in the memory of this process, gone with it: for tests, and for a notebook's day."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from freeproviders.answers.entry import Entry, Run
from freeproviders.answers.store import Kept
from freeproviders.answers.threaded import Put


class MemoryAnswers:
    """Answers in a dictionary; one thread calls it."""

    def __init__(self) -> None:
        self._entries: dict[bytes, tuple[Entry, str]] = {}
        self._runs: dict[str, Run] = {}

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Read what there is under the keys."""
        return {key: self._entries[key][0] for key in keys if key in self._entries}

    def put(self, puts: Sequence[Put]) -> None:
        """Write the entries of several puts."""
        now = time.time()
        for entries, run in puts:
            if run and entries and run not in self._runs:
                self._runs[run] = Run(name=run, began=now)
            for key, entry in entries:
                there = self._entries.get(key)
                if there is None or there[0].state != "done":
                    self._entries[key] = (replace(entry, at=entry.at or now), run)

    def forget(self, keys: Sequence[bytes]) -> None:
        """Delete the entries under the keys."""
        for key in keys:
            self._entries.pop(key, None)

    def begin(self, run: Run) -> None:
        """Note that a run was begun, or is gone on with."""
        before = self._runs.get(run.name)
        self._runs[run.name] = Run(
            name=run.name,
            source=run.source,
            rows=run.rows if before is None or run.rows is not None else before.rows,
            began=(run.began or time.time()) if before is None else before.began,
        )

    def kept(self) -> list[Kept]:
        """Count what there is, by run, the latest first."""
        by_run: dict[str, list[Entry]] = {name: [] for name in self._runs}
        for entry, of_run in self._entries.values():
            by_run.setdefault(of_run, []).append(entry)
        found = []
        for name, entries in by_run.items():
            run = self._runs.get(name, Run(name=name))
            states: dict[str, int] = {}
            for entry in entries:
                states[entry.state] = states.get(entry.state, 0) + 1
            times = [entry.at for entry in entries] or [run.began]
            size = sum(len(entry.value) for entry in entries)
            found.append(Kept(run=run, states=states, bytes=size, first=min(times), latest=max(times)))
        return sorted(found, key=lambda kept: kept.latest, reverse=True)

    def delete(self, run: str | None, older_than: float | None) -> int:
        """Delete a run's entries, or all; return their number."""
        until = float("inf") if older_than is None else time.time() - older_than
        gone = [
            key
            for key, (entry, of_run) in self._entries.items()
            if run in {None, of_run} and entry.at <= until
        ]
        for key in gone:
            del self._entries[key]
        left = {of_run for _, of_run in self._entries.values()}
        for name in [name for name, one in self._runs.items() if run in {None, name} and one.began <= until]:
            if name not in left:
                del self._runs[name]
        return len(gone)

    def close(self) -> None:
        """Keep what there is: it goes with the process."""
