"""A backend on its way to another machine, without its secrets: each machine has keys of its own.

What Ray is given lies in the memory of all nodes, in their files where memory is short, and on the
network, in clear. So a key of the environment stays here, and the node takes the one of its own
environment. A secret that comes from anywhere else cannot be had on a node, and is an error.
"""

from __future__ import annotations

import io
import os
import pickle
import re
from dataclasses import replace
from typing import Any, Final

from freeproviders.backend import Backend
from freeproviders.batch.ray.loading import ray_module
from freeproviders.configuration import Configured, checked_outside, from_environment, read_base_url
from freeproviders.errors import MissingKeyError, UsageError
from freeproviders.naming import argument
from freeproviders.redaction import SHORTEST_SECRET, is_secret, looks_secret

_OF_A_KEY: Final = re.compile(r"(?i)(?:^|_)(?:api_?key|key|token|secret|password)$")
_LOGIN_IN_A_URL: Final = re.compile(rb"(?i)\b((?:rediss?|valkeys?|https?)://)[^/\s@:]*:[^/\s@]+@")


def packed(backend: Backend) -> bytes:
    """Write a backend without its secrets, to be made again by `unpacked` on another machine.

    Raises `UsageError` for a secret that was not read from the environment, and for a backend that
    cannot be written.
    """
    cloudpickle = ray_module("ray.cloudpickle")

    class Packer(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, Configured):
                return _made_again, (type(obj), *_without_secrets(obj))
            return super().reducer_override(obj)

    file = io.BytesIO()
    try:
        Packer(file).dump(backend)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(
            f"This backend cannot be sent to another machine: {error}.", provider=backend.name
        ) from error
    data = file.getvalue()
    check_no_secret(data, backend.name)
    return data


def unpacked(data: bytes) -> Backend:
    """Make a backend again, with the keys and addresses in the environment of this machine.

    Raises `UsageError` where a key is missing.
    """
    backend: Backend = pickle.loads(data)  # noqa: S301 - written by `packed`, brought by Ray
    return backend


def _without_secrets(one: Configured) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the state of a configuration, and the names of what is read again where it arrives."""
    state: dict[str, Any] = dict(one.__getstate__())  # type: ignore[call-overload]
    outside = from_environment(one.slug, one.key_variables)
    own = []
    given = (one.base_url, one.login)
    if "base_url" in outside and given == read_base_url(outside["base_url"].value, one.name):
        own.append("base_url")
        state["login"] = None
    if one.api_key and "api_key" in outside and outside["api_key"].value == one.api_key:
        own.append("api_key")
        state["api_key"] = None
    if one.route.proxy and "proxy" in outside and outside["proxy"].value == one.route.proxy:
        own.append("proxy")
        state["route"] = replace(one.route, proxy=None)
    secrets = {
        "api_key": bool(state["api_key"]),
        "base_url": state["login"] is not None,
        "proxy": "@" in (state["route"].proxy or ""),
        "headers": any(is_secret(name, value) for name, value in one.headers.items()),
        "cookies": bool(one.cookies),
    }
    if secret := [name for name, is_given in secrets.items() if is_given]:
        variable = one.api_key_env or "the service's variable"
        raise UsageError(
            f"A secret in {' and '.join(argument(name) for name in secret)} would lie in clear in the "
            f"memory and in the files of every node: set {variable} on each node before `ray start` "
            "instead.",
            provider=one.name,
        )
    if one.route.connector is not None:
        raise UsageError(
            f"{argument('connector')} is an object of this process, and cannot be sent to another machine.",
            provider=one.name,
        )
    return state, tuple(own)


def _made_again(cls: type[Configured], state: dict[str, Any], own: tuple[str, ...]) -> Configured:
    """Make a configuration of its state, with what this machine's environment has for it."""
    one = cls.__new__(cls)
    one.__dict__.update(state)
    outside = from_environment(one.slug, one.key_variables)
    if "api_key" in own and "api_key" not in outside:
        raise MissingKeyError(
            "The node has no key of its own in the environment of its `ray start`.",
            provider=one.name,
            keys=one.key_variables or ((one.api_key_env,) if one.api_key_env else ()),
        )
    changes: Any = {name: checked_outside(name, outside[name], one.name) for name in own if name in outside}
    if changes:
        one.__dict__.update(one.configured(**changes).__dict__, _stands_for=one.base_url)
    return one


def check_no_secret(data: bytes, name: str) -> None:
    """Raise `UsageError` if a key of the environment, or an address with a password, was written."""
    for variable, value in os.environ.items():
        if not _OF_A_KEY.search(variable) or len(value) < SHORTEST_SECRET or not looks_secret(value):
            continue
        if value.encode() in data:
            raise UsageError(
                f"What goes to the nodes holds the secret in {variable}, which would lie in clear in the "
                "memory and in the files of every node: let each node read it from its own environment.",
                provider=name,
            )
    if found := _LOGIN_IN_A_URL.search(data):
        raise UsageError(
            f"What goes to the nodes holds an address {found[1].decode()}... with a password, which would "
            "lie in clear in the memory and in the files of every node: set it in the environment of each "
            "node, as FREEPROVIDERS_QUOTA for the ledger or FREEPROVIDERS_ANSWERS for the store.",
            provider=name,
        )
