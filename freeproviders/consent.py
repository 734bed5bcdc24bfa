"""Services whose accounts the user has confirmed to be free ones.

Nothing from outside shows whether an account is billed, so that what is free within an allowance
only is not asked until the user has said so once: in a call (`confirmed=["groq"]`), in the
environment, or in a file of the user's own that `freeproviders services confirm groq` writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Final, Literal, get_args

from freeproviders.catalogue import catalogue
from freeproviders.catalogue.places import text_of
from freeproviders.errors import UnknownServiceError, UsageError
from freeproviders.folders import config_dir
from freeproviders.naming import argument
from freeproviders.private_file import FileError, make_file, make_folder

Privacy = Literal["local", "no-training", "any"]
"""Where a prompt may go: only this machine, services that do not train on prompts, or any service."""
PRIVACY: Final[tuple[Privacy, ...]] = get_args(Privacy)
ENV_CONFIRMED: Final = "FREEPROVIDERS_CONFIRMED"
_VERSION: Final = 1


def confirmed_services(given: Iterable[str] = ()) -> frozenset[str]:
    """Return the ids of the confirmed services: those given, of the environment and of the file.

    Raises:
        UnknownServiceError: one that is given or in the environment is no service.
        UsageError: the file is there and cannot be read.
    """
    if isinstance(given, str):
        raise UsageError(f'confirmed must be a list of services, as ["groq"], not {given!r:.200}.')
    ids = {_id_of(name, "confirmed") for name in given}
    return frozenset(ids | confirmed_outside() | kept().keys())


def confirmed_outside() -> set[str]:
    """Return the services that `FREEPROVIDERS_CONFIRMED` names. Raises `UnknownServiceError`."""
    names = os.environ.get(ENV_CONFIRMED, "").split(",")
    return {_id_of(name.strip(), ENV_CONFIRMED) for name in names if name.strip()}


def how_to_confirm(service: str, what: str) -> str:
    """Say how a user confirms something of the account at a service, with marks (`freeproviders.naming`)."""
    in_python = argument("confirmed", f"confirmed=[{service!r}]")
    return (
        f"Confirm once that {what}, with `freeproviders services confirm {service}`. "
        f"In a program {in_python} does the same."
    )


def path() -> Path:
    """Return the path of the user's file, which need not exist."""
    return config_dir() / "confirmed.json"


def kept() -> Mapping[str, date]:
    """Return the services of the user's file, each with the day on which it was confirmed.

    Raises `UsageError` for a file that cannot be read or that holds anything else: half of a consent
    is none.
    """
    file = path()
    try:
        text = text_of(file)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(file, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return _read(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(file, f"is damaged: {error!r}") from error


def confirm(name: str) -> str:
    """Keep that the account of a service is a free one; return the service's id.

    Raises:
        UnknownServiceError: there is none of that name.
        UsageError: the file cannot be read or written.
    """
    service_id = _id_of(name)
    found = dict(kept())
    if service_id not in found:
        _write({**found, service_id: datetime.now(UTC).date()})
    return service_id


def revoke(name: str) -> bool:
    """Forget that a service was confirmed; return whether the file had it.

    A service that is no longer in the catalogue is found by its id. Raises as `confirm` does.
    """
    found = dict(kept())
    service_id = name if name in found else _id_of(name)
    if found.pop(service_id, None) is None:
        return False
    _write(found)
    return True


def _id_of(name: object, given_as: str = "") -> str:
    """Return the id of a service that a caller named."""
    where = f" It is named in {given_as}." if given_as else ""
    if not isinstance(name, str):
        raise UsageError(f'A service is named by its id, as "groq", not {name!r:.200}.{where}')
    try:
        return catalogue().service(name).id
    except UnknownServiceError as error:
        raise UnknownServiceError(f"{error.message}{where}") from None


def _read(document: Any) -> dict[str, date]:
    """Read what `_write` wrote. Raises one of several errors for anything else."""
    if document["version"] != _VERSION:
        raise ValueError("it is of another version of freeproviders")
    return {name: date.fromisoformat(day) for name, day in document["confirmed"].items()}


def _write(found: Mapping[str, date]) -> None:
    """Write the file for the user alone; it takes its name when it is whole."""
    file = path()
    document = {"version": _VERSION, "confirmed": {name: day.isoformat() for name, day in found.items()}}
    try:
        make_folder(file.parent, own=False)
        make_file(file, own=True)  # or an error: a link, or another user's
        descriptor, temporary = mkstemp(dir=file.parent, prefix=".confirmed-")  # of mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                json.dump(document, out, ensure_ascii=False, indent=1, sort_keys=True)
            Path(temporary).replace(file)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
    except FileError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}.") from error


def _damaged(file: Path, what: str) -> UsageError:
    return UsageError(
        f"{file} {what}. It holds the services that you have confirmed: correct it, or delete it and confirm "
        "them again with `freeproviders services confirm`."
    )
