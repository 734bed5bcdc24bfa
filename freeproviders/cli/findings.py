"""What `freeproviders doctor` looks for. Nothing is sent, but by `probe` to this machine itself."""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import warnings
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from freeproviders._version import __version__
from freeproviders.cli import rows, today

if TYPE_CHECKING:
    from freeproviders.catalogue import Service
    from freeproviders.catalogue.places import Source

_PROBE_SECONDS: Final = 3.0
_PROBE_BYTES: Final = 65536


def collect() -> dict[str, Any]:
    """Collect everything that can be found without a request, as JSON can hold it."""
    from freeproviders.catalogue.places import files_in, packages, user_files, user_folder

    services = list(rows.services(complaining=False))
    addresses = [one for service in services for one in _address(service)]
    outside = {one["service"]: one["base_url"] for one in addresses}
    return {
        "version": __version__,
        "python": platform.python_version(),
        "keys": [one for service in services for one in _key(service)],
        "addresses": addresses,
        "folder": str(user_folder()),
        "files": _files(list(user_files())),
        "packages": [
            {"package": one.name, "wrong": one.wrong, "files": _files(list(files_in(one)))}
            for one in packages()
        ],
        "quota": _quota(),
        "router": _router(),
        "embedded": _embedded(),
        "local_servers": [
            _server(service, address)
            for service in services
            if service.local and (address := outside.get(service.id, service.base_url))
        ],
    }


def _quota() -> dict[str, Any] | None:
    """Return what is left today; None where a server counts it, which is not asked."""
    from freeproviders.quota.opening import is_on_a_server

    return None if is_on_a_server() else today.report(today.counted())


def _router() -> dict[str, Any]:
    """Return the members asked by default, in order, how each fares, and what is left out and why.

    The health of members that a server keeps is not asked for.
    """
    from freeproviders import FreeProviders
    from freeproviders.errors import NotAskedWarning, UsageError
    from freeproviders.quota.opening import is_begun, is_on_a_server

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotAskedWarning)
        try:
            router = FreeProviders()
        except UsageError as error:
            return {"members": [], "skipped": [], "wrong": str(error)}
    known = is_begun() and not is_on_a_server()
    standings = [one.plain() for one in router.status_sync()] if known else [None] * len(router.members)
    return {
        "members": [
            {"name": member.name, "place": member.place, "health": health}
            for member, health in zip(router.members, standings, strict=True)
        ],
        "skipped": [{"name": one.name, "reason": one.reason} for one in router.skipped],
        "wrong": "",
    }


def wrong(found: dict[str, Any]) -> list[str]:
    """Return what is to be put right, in words that say how."""
    out = [one["wrong"] for one in found["addresses"] if one["wrong"]]
    files = [*found["files"], *(one for package in found["packages"] for one in package["files"])]
    out += [one["mistakes"][0] for one in files if one["mistakes"]]
    out += [f"{one['package']}: {one['wrong']}" for one in found["packages"] if one["wrong"]]
    router = found["router"]
    if router["wrong"]:
        out.append(router["wrong"])
    for member in router["members"]:
        health = member["health"]
        if health is not None and health["state"] == "out":
            out.append(f"{member['name']} is not asked any more: {health['reason']}")
    return out


def probe(servers: list[dict[str, Any]]) -> None:
    """Ask the servers on this machine whether they are there, and write it down."""
    asyncio.run(_probe_all([one for one in servers if one["on_this_machine"]]))


def _key(service: Service) -> list[dict[str, str]]:
    from freeproviders.catalogue.words import free

    name = rows.key_variable(service)
    return [{"service": service.id, "variable": name, "free": free(service, rows.today())}] if name else []


def _address(service: Service) -> list[dict[str, str]]:
    from freeproviders.errors import UsageError

    try:
        address = rows.outside_address(service)
    except UsageError as error:
        return [{"service": service.id, "base_url": "", "wrong": str(error)}]
    return [] if address is None else [{"service": service.id, "base_url": address, "wrong": ""}]


def _files(sources: list[Source]) -> list[dict[str, Any]]:
    from freeproviders.catalogue.check import mistakes, readdressed
    from freeproviders.catalogue.places import own_files

    found: list[dict[str, Any]] = []
    sound: list[Source] = []
    for source in sources:
        wrong = mistakes(source, sound)
        moved = None
        if not wrong:
            sound.append(source)
            moved = readdressed(source)
        found.append(
            {
                "path": str(source.path),
                "service": source.id,
                "new": source.id not in own_files(),
                "mistakes": [str(one) for one in wrong],
                "readdresses": None if moved is None else {"from": moved.before, "to": moved.after},
            }
        )
    return found


def _embedded() -> dict[str, Any]:
    from freeproviders.embedded.cache import cached
    from freeproviders.embedded.choice import choose
    from freeproviders.errors import FreeProvidersError

    try:
        choice = choose()
        model = choice.name if choice.weights is not None else str(choice.path)
    except FreeProvidersError as error:  # FREEPROVIDERS_MODEL names none
        model = str(error)
    return {
        "engine": importlib.util.find_spec("xllamacpp") is not None,
        "weights": [weights.name for weights in cached()],
        "model": model,
    }


def _server(service: Service, address: str) -> dict[str, Any]:
    from freeproviders.addresses import is_loopback

    parts = urlsplit(address)
    asked = f"{parts.scheme}://{parts.netloc}{service.probe}" if service.probe else f"{address}/models"
    return {
        "service": service.id,
        "base_url": address,
        "on_this_machine": is_loopback(address),
        "probe": asked,
        "answers": None,
    }


async def _probe_all(servers: list[dict[str, Any]]) -> None:
    answers = await asyncio.gather(*(_answers(one) for one in servers))
    for one, answer in zip(servers, answers, strict=True):
        one["answers"] = answer


async def _answers(server: dict[str, Any]) -> bool:
    """Ask one server by a GET without a key, and through no proxy."""
    from freeproviders import OpenAICompatible
    from freeproviders.errors import ProviderConnectionError, ProviderError, ProviderTimeoutError
    from freeproviders.transport import HttpRequest

    asking = OpenAICompatible("any", base_url=server["base_url"], proxy="", timeout=_PROBE_SECONDS)
    try:
        await asking.fetch(HttpRequest("GET", server["probe"]), _PROBE_BYTES)
    except (ProviderConnectionError, ProviderTimeoutError):
        return False
    except ProviderError:  # whatever it says, it is there
        return True
    return True
