"""Where files of services come from: this package, other packages, and the user.

Later places go on top of earlier ones: the package's own files, those of other packages (entry
points of the group `freeproviders.services`), the user's folder, `$FREEPROVIDERS_SERVICES`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.machinery import SourcelessFileLoader
from pathlib import Path
from typing import Final, Literal, NamedTuple

from freeproviders.folders import config_dir

ENV_SERVICES: Final = "FREEPROVIDERS_SERVICES"
GROUP: Final = "freeproviders.services"
OWN: Final = Path(__file__).parent / "services"

Origin = Literal["own", "package", "user"]


class Source(NamedTuple):
    """One file of a service: its id, where it is, and whose it is."""

    id: str
    path: Path
    origin: Origin


def own_files() -> dict[str, Path]:
    """Find the files of this package, by id."""
    return {source.id: source.path for source in _files(OWN, "own")}


class Package(NamedTuple):
    """What another package names as its files of services; `wrong` says why nothing was found."""

    name: str
    folders: tuple[Path, ...]
    wrong: str = ""


def packages() -> Iterator[Package]:
    """Find the other packages with files of services: each entry point names a package of them."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and for listing only
    from importlib.util import find_spec  # noqa: PLC0415 - the same

    for point in entry_points(group=GROUP):
        name = point.dist.name if point.dist is not None else point.name
        try:
            spec = find_spec(point.value)  # found, not imported: data runs no code
        except (ImportError, ValueError, AttributeError) as error:
            yield Package(name, (), f"{point.value!r} cannot be found: {error}")
            continue
        folders = spec.submodule_search_locations if spec is not None else None
        wrong = "" if folders else f"{point.value!r} is no package that is installed."
        yield Package(name, tuple(Path(folder) for folder in folders or ()), wrong)


def package_files() -> Iterator[Source]:
    """Find the files of other packages; one that cannot be found does not hide the others."""
    for package in packages():
        yield from files_in(package)


def files_in(package: Package) -> Iterator[Source]:
    """Find the files of one other package."""
    for folder in package.folders:
        yield from _files(folder, "package")


def user_files() -> Iterator[Source]:
    """Find the user's files: those of the user's folder, then those of `$FREEPROVIDERS_SERVICES`."""
    for path in _user_places():
        yield from [Source(path.stem, path, "user")] if path.suffix == ".toml" else _files(path, "user")


def own_path(service_id: str) -> Path:
    """Return where this package would have the file of a service."""
    return OWN / f"{service_id}.toml"


def user_paths(service_id: str) -> Iterator[Path]:
    """Name the places where the user may have a file of a service, in the order of `user_files`."""
    for path in _user_places():
        if path.suffix != ".toml":
            yield path / f"{service_id}.toml"
        elif path.stem == service_id:
            yield path


def is_there(path: Path) -> bool:
    """Return whether a file can be read; no folder is listed for that."""
    try:
        text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        return isinstance(error, UnicodeDecodeError)
    return True


def user_folder() -> Path:
    """Return the folder of a user's own files, which need not exist."""
    return config_dir() / "services"


def _user_places() -> Iterator[Path]:
    """Name the user's folders, and the single files among them (`.toml`), the later on top."""
    yield user_folder()
    for place in os.environ.get(ENV_SERVICES, "").split(os.pathsep):
        if place:
            yield Path(place).expanduser()


def text_of(path: Path) -> str:
    """Read a file as UTF-8.

    An import's own way of reading is used: a model that is made inside a coroutine reads the file
    of its service there once, and guards against blocking calls allow that way.
    """
    return SourcelessFileLoader("freeproviders.catalogue", str(path)).get_data(str(path)).decode()


def _files(folder: Path, origin: Origin) -> Iterator[Source]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".toml"))
    except OSError:
        return
    for name in names:
        yield Source(Path(name).stem, folder / name, origin)
