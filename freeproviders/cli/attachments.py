"""Files that go with a question: pictures, recordings and documents as they are, texts in its words."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from freeproviders.backend import Backend

MOST_BYTES: Final = 20_000_000
_PICTURES: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_WORDS: Final = {"images": "pictures", "audio": "recordings", "files": "documents"}
"""The abilities that files need, and what such files are called."""


class AttachmentError(ValueError):
    """A file cannot go with a question; the text says why."""


@dataclass(frozen=True)
class Attachment:
    """A file as a block of a message; `needs` is the ability that the model must have, "" for text."""

    name: str
    block: Mapping[str, Any]
    needs: str = ""


def attachment(path: Path) -> Attachment:
    """Read a file, by what is in it and not by its name. Raises `AttachmentError`."""
    try:
        if path.is_dir():
            raise AttachmentError(f"{path} is a folder.")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, AttachmentError):
            raise
        raise AttachmentError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
    if len(data) > MOST_BYTES:
        raise AttachmentError(f"{path} is larger than {MOST_BYTES // 1_000_000} MB.")
    if not data:
        raise AttachmentError(f"{path} is empty.")
    if kind := _picture(data):
        url = f"data:{kind};base64,{b64encode(data).decode()}"
        return Attachment(path.name, {"type": "image_url", "image_url": {"url": url}}, "images")
    if kind := _recording(data):
        audio = {"data": b64encode(data).decode(), "format": kind}
        return Attachment(path.name, {"type": "input_audio", "input_audio": audio}, "audio")
    if data.startswith(b"%PDF-"):
        content = f"data:application/pdf;base64,{b64encode(data).decode()}"
        return Attachment(
            path.name, {"type": "file", "file": {"file_data": content, "filename": path.name}}, "files"
        )
    if (text := _text(data)) is None:
        raise AttachmentError(f"{path} is no text, and no picture, recording or PDF document.")
    return Attachment(path.name, {"type": "text", "text": _fenced(path.name, text)})


def content(question: str, files: Sequence[Attachment]) -> str | list[Mapping[str, Any]]:
    """Put a question and its files together: one text where nothing else is among them."""
    texts = "\n\n".join([question, *(file.block["text"] for file in files if not file.needs)])
    media = [file.block for file in files if file.needs]
    return [{"type": "text", "text": texts}, *media] if media else texts


def check(files: Iterable[Attachment], backend: Backend) -> None:
    """Raise `AttachmentError` where the backend takes no such files."""
    for file in files:
        if file.needs and not any(getattr(able, file.needs) for able in _abilities(backend)):
            named = " ".join(filter(None, (backend.name, backend.model)))
            raise AttachmentError(
                f"{named} takes no {_WORDS[file.needs]}, as {file.name} is one: "
                "name another --model, --provider or --service."
            )


def _abilities(backend: Backend) -> list[Any]:
    members = getattr(backend, "members", None)
    if members is None:
        return [backend.abilities()]
    return [member.backend.abilities(member.model or None) for member in members]


def _picture(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for head, kind in _PICTURES.items() if data.startswith(head)), "")


def _recording(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    is_mp3 = data.startswith(b"ID3") or data[:2] in {b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"}
    return "mp3" if is_mp3 else ""


def _text(data: bytes) -> str | None:
    """Read bytes as text, None where they are none."""
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.replace("\r\n", "\n")


def _fenced(name: str, text: str) -> str:
    """Write a file's text under its name, between marks that are not in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{name}:\n{fence}\n{text.removesuffix(chr(10))}\n{fence}"
