"""What the user asked in earlier sessions, in files that no other user can read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from freeproviders.folders import state_dir
from freeproviders.private_file import FileError, make_file, make_folder

ENV_HISTORY: Final = "FREEPROVIDERS_HISTORY"
_OFF: Final = frozenset({"0", "off", "no", "false"})
LONGEST: Final = 20_000
"""Characters of a question that is kept: longer ones were pasted, and are not looked for again."""
MOST: Final = 1000
"""Questions that are kept."""
CONVERSATION_BYTES: Final = 20_000_000


def is_wanted(given: bool | None) -> bool:
    """Return whether anything is kept: as the option says, else the environment, else yes."""
    return given if given is not None else os.environ.get(ENV_HISTORY, "").strip().lower() not in _OFF


class Questions:
    """The questions of earlier sessions, a JSON text in each line of a file; none without a folder."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "questions.jsonl"

    def earlier(self) -> list[str]:
        """Read the questions that are kept, the oldest first; what cannot be read is left out."""
        if self._path is None:
            return []
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return []
        found = [text for line in lines[-MOST:] if isinstance(text := _json(line), str)]
        if len(lines) > 2 * MOST:
            _write(self._path, b"".join(_line(text) for text in found))
        return found

    def keep(self, text: str) -> None:
        """Add a question at the end; a file that cannot be written is no reason to stop."""
        if self._path is None or len(text) > LONGEST:
            return
        try:
            make_file(self._path, own=True)
            with self._path.open("ab") as file:
                file.write(_line(text))
        except (FileError, OSError):
            self._path = None


class LastConversation:
    """The messages of the last conversation, for `--continue`; none without a folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._path = None if folder is None else folder / "conversation.json"

    def messages(self) -> list[Mapping[str, Any]]:
        """Read the messages; an empty list where there are none."""
        try:
            found = _json(self._path.read_bytes()) if self._path is not None else None
        except OSError:
            return []
        if not isinstance(found, list):
            return []
        return [one for one in found if isinstance(one, dict) and {"role", "content"} <= one.keys()]

    def keep(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Write the messages, but for instructions, in place of the conversation before.

        One that is too long is not kept, and neither is the one before, which is not the last.
        """
        if self._path is None:
            return
        data = json.dumps([one for one in messages if one["role"] != "system"]).encode()
        _write(self._path, data if len(data) <= CONVERSATION_BYTES else b"[]")


def folder() -> Path:
    """Make the folder of these files where there is none. Raises `FileError` where it cannot be had."""
    try:
        found = state_dir() / "chat"
    except RuntimeError as error:  # no home
        raise FileError(f"{error}") from error
    make_folder(found.parent, own=False)
    make_folder(found, own=True)
    return found


def _write(path: Path, data: bytes) -> None:
    """Put a file in the place of another, at once and whole, or leave the other."""
    beside = path.with_suffix(f".{os.getpid()}.new")
    try:
        make_file(beside, own=True)
        beside.write_bytes(data)
        beside.replace(path)
    except (FileError, OSError):
        beside.unlink(missing_ok=True)


def _line(text: str) -> bytes:
    return json.dumps(text).encode() + b"\n"


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
