"""The models of the Ollama server on this machine: asked for once, by a GET, when they are needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from freeproviders.addresses import is_loopback
from freeproviders.errors import ProviderConnectionError, ProviderError, ProviderTimeoutError
from freeproviders.router.making import made
from freeproviders.router.member import Found, Later, Skipped
from freeproviders.transport import HttpRequest
from freeproviders.wire.json import loads

if TYPE_CHECKING:
    from freeproviders.providers.openai_compatible import OpenAICompatible
    from freeproviders.router.policy import Policy

OLLAMA: Final = "ollama"
PROBE_SECONDS: Final = 1.0
_MAX_BYTES: Final = 4 * 2**20
_NO_CHAT: Final = re.compile(r"embed|rerank|minilm|(?:^|/)(?:bge|e5|gte)[-:]", re.IGNORECASE)
"""Names of models that make vectors or order texts."""
_NO_CHAT_FAMILIES: Final = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "xlm-roberta", "jina-bert-v2"})
_SHARE_OF_MEMORY: Final = 0.6
"""A model whose file is larger than this share of the memory would make the machine swap."""


class Installed(NamedTuple):
    """A model that an Ollama server has: its name, the size of its file, why it is not asked."""

    name: str
    size: int
    reason: str


def ollama_later(backend: OpenAICompatible, policy: Policy) -> Later:
    """Return the look at an Ollama server; `backend` is any model there."""
    return Later(OLLAMA, partial(_look, backend, policy))


async def _look(backend: OpenAICompatible, policy: Policy) -> Found:
    """Ask a server for its models, which go by `in_order`."""
    if not is_loopback(backend.base_url):
        return _none(f"{backend.base_url} is not on this machine: name a model of it, as ollama/llama3.2.")
    asking = backend.configured(timeout=PROBE_SECONDS, proxy="")
    url = backend.base_url.removesuffix("/v1") + "/api/tags"
    try:
        body = await asking.fetch(HttpRequest("GET", url), _MAX_BYTES)
        models = list(installed(loads(body)))
    except (ProviderConnectionError, ProviderTimeoutError):
        return _none(f"No server answers at {url}.")
    except (ProviderError, ValueError) as error:
        return _none(f"What answers at {url} is no Ollama: {error}")
    found = Found(skipped=[Skipped(f"{OLLAMA}/{one.name}", one.reason) for one in models if one.reason])
    for one in in_order([one for one in models if not one.reason], memory()):
        member, reason = made(backend.with_model(one.name), policy, rank=len(found.members))
        if reason:
            found.skipped.append(Skipped(member.name, reason))
        else:
            found.members.append(member)
    if not models:
        found.skipped.append(Skipped(OLLAMA, "It has no model: `ollama pull llama3.2` fetches one."))
    return found


def installed(document: Any) -> Iterator[Installed]:
    """Read the list of models that `/api/tags` tells. Raises `ValueError` where it is none."""
    rows = document.get("models") if isinstance(document, Mapping) else None
    if not isinstance(rows, list):
        raise ValueError("it does not list models.")  # noqa: TRY004 - the server's mistake
    for row in rows:
        name = row.get("model") or row.get("name") if isinstance(row, Mapping) else None
        if isinstance(name, str) and name:
            size = row.get("size")
            yield Installed(name, size if isinstance(size, int) else 0, _reason_against(name, row))


def _reason_against(name: str, row: Mapping[str, Any]) -> str:
    if row.get("remote_host") or row.get("remote_model"):
        return "It does not run here: the server sends the prompt on to another one."
    can = row.get("capabilities")
    chats = "completion" in can if isinstance(can, list) and can else not _NO_CHAT.search(name)
    if chats and _NO_CHAT_FAMILIES.isdisjoint(_families(row.get("details"))):
        return ""
    return "It makes vectors, and does not chat."


def _families(details: object) -> list[str]:
    """Return the families of models that a model belongs to, as the server tells them."""
    if not isinstance(details, Mapping):
        return []
    several = details.get("families")
    told = [details.get("family"), *(several if isinstance(several, list) else ())]
    return [one for one in told if isinstance(one, str)]


def in_order(models: list[Installed], room: int) -> list[Installed]:
    """Order models: the largest that fits into memory is the best one, those that do not fit come last.

    `room` is the machine's memory in bytes, 0 where it is not known. The user has installed them all,
    and of models that a machine can run the larger one answers better.
    """
    most = room * _SHARE_OF_MEMORY or float("inf")
    fit = [one for one in models if one.size <= most]
    large = [one for one in models if one.size > most]
    return sorted(fit, key=lambda one: -one.size) + sorted(large, key=lambda one: one.size)


def memory() -> int:
    """Return the bytes of memory that the machine has, 0 where it is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _none(reason: str) -> Found:
    return Found(skipped=[Skipped(OLLAMA, reason)])
