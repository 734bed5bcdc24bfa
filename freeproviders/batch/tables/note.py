"""What is noted of a run over a table, for its next start and for commands that show its state."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from time import sleep
from typing import Final

from freeproviders.embedded.lock import try_lock
from freeproviders.errors import UsageError
from freeproviders.folders import state_dir
from freeproviders.private_file import FileError, make_file, make_folder

FOLDER: Final = "batches"
_PAUSES: Final = (0.02, 0.05, 0.1)
"""Seconds between looks at the lock: a process that reads a run's state holds it for a moment."""


@dataclass(slots=True, kw_only=True)
class RunNote:
    """The state of a run, as it was noted last; times are texts of ISO 8601 in UTC, "" for none.

    Attributes:
        output: the file of the answers.
        source: the file of the questions.
        store: where the answers are kept.
        rows: how many rows there are.
        states: how many of them are in which state.
        services: how many were answered by each service, in the latest start.
        began: when it was begun first.
        updated: when this was noted.
        ends: when it will have ended, as far as can be said.
        why: why it stopped, "" while it goes on and where all is done.
        soonest: when it is worth starting again.
        ended: whether the latest start came to its end.
    """

    output: str
    source: str = ""
    store: str = ""
    rows: int = 0
    states: dict[str, int] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    began: str = ""
    updated: str = ""
    ends: str = ""
    why: str = ""
    soonest: str = ""
    ended: bool = False

    @property
    def left(self) -> int:
        """How many rows have no answer yet and will be asked."""
        return self.rows - sum(self.states.get(state, 0) for state in ("done", "refused", "poisoned"))

    def save(self) -> None:
        """Write it, whole, into a file that is the user's alone."""
        self.updated = moment(datetime.now(UTC))
        path = _path(self.output, "json")
        fresh = path.with_suffix(f".{token_hex(4)}")
        try:
            make_folder(path.parent, own=True)
            make_file(fresh, own=True)
            fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
            fresh.replace(path)
        except (FileError, OSError) as error:
            raise UsageError(f"The state of a batch cannot be noted: {error}") from None
        finally:
            with suppress(OSError):
                fresh.unlink()

    @classmethod
    def of(cls, output: str) -> RunNote | None:
        """Read what was noted of the run with such an output, None where nothing was."""
        try:
            found = json.loads(_path(output, "json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        known = {one.name for one in fields(cls)}
        if not isinstance(found, Mapping) or found.get("output") != output:
            return None
        return cls(**{name: value for name, value in found.items() if name in known})


def moment(when: datetime | None) -> str:
    """Write a time as a note has it."""
    return "" if when is None else when.astimezone(UTC).isoformat(timespec="seconds")


@contextmanager
def alone(output: str) -> Iterator[None]:
    """Be the only run with an output.

    The system ends it with the process, however that ends. Raises `UsageError` where another runs.
    """
    path = _path(output, "lock")
    try:
        make_folder(path.parent, own=True)
        make_file(path, own=True)
        number = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except FileError as error:
        raise UsageError(f"The state of a batch cannot be noted: {error}") from None
    try:
        for pause in _PAUSES:
            if try_lock(number):
                break
            sleep(pause)
        else:
            raise UsageError(f"Another process is writing answers for {output} already.")
        yield
    finally:
        os.close(number)


def is_running(output: str) -> bool:
    """Return whether a process runs with such an output."""
    try:
        with alone(output):
            return False
    except UsageError:
        return True


def _path(output: str, suffix: str) -> Path:
    name = sha256(output.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return state_dir() / FOLDER / f"{name}.{suffix}"
