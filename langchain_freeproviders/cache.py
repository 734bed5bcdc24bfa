"""A store of answers as LangChain's cache of models."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from langchain_core.caches import BaseCache
from langchain_core.outputs import Generation

from freeproviders.answers.entry import Entry
from freeproviders.answers.opening import open_store
from freeproviders.answers.outage import STORE_SECONDS, StoreOutage, outage_at
from freeproviders.answers.store import AnswerStore
from freeproviders.answers.values import Values
from freeproviders.errors import AnswerStoreWarning, FreeProvidersError, UsageError
from langchain_freeproviders.errors import translating
from langchain_freeproviders.values import values_of

_VERSION: Final = 1


class AnswerCache(BaseCache):
    """LangChain's cache of models over a store of answers: on disk, or on a server for a team.

    It takes the answers of any LangChain model, of this package or another, and gives them back as
    they were: text, tool calls, reasoning, usage, metadata. LangChain asks a cache in `invoke` and
    what is built on it, never in `stream`. Errors are not kept. A store that cannot be used costs no
    answer: an `AnswerStoreWarning` says why, and for a minute the store is left in peace.

    Args:
        store: a path, a `redis://` URL, "memory", or a `freeproviders.answers.AnswerStore`; None is
            `FREEPROVIDERS_ANSWERS`, else the user's own file.
        name: the run under which the store keeps it, as `freeproviders answers` shows it. Two names
            share no answer.

    Examples:
        ```python
        from langchain_core.globals import set_llm_cache
        from langchain_freeproviders import AnswerCache, ChatFlowGpt

        set_llm_cache(AnswerCache("answers.db"))  # for all models
        model = ChatFlowGpt(cache=AnswerCache("answers.db"))  # for one
        model.invoke("Hello")
        model.invoke("Hello")  # not asked again
        ```
    """

    def __init__(self, store: str | Path | AnswerStore | None = None, *, name: str = "langchain") -> None:
        if not name:
            raise UsageError("name is empty: name the cache, or leave it out.")
        self.name = name
        with translating:
            self._store = open_store(store)

    @property
    def place(self) -> str:
        """Where the answers are, for people."""
        return self._store.place

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """Return the answers that are kept for a prompt and a model's settings, None where there are none."""
        key = self._key(prompt, llm_string)
        with self._doing_without as outage:
            if not outage.is_on:
                return self._read(key, self._store.get([key]).result(STORE_SECONDS))
        return None

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """Do as `lookup`, without blocking the event loop."""
        key = self._key(prompt, llm_string)
        with self._doing_without as outage:
            if not outage.is_on:
                found = await asyncio.wait_for(asyncio.wrap_future(self._store.get([key])), STORE_SECONDS)
                return self._read(key, found)
        return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep answers; what there is already under the same prompt and settings stays.

        An answer with something that JSON cannot hold, as an object of another library, is not
        kept, with a warning.
        """
        with self._doing_without as outage:
            if not outage.is_on:
                self._written(prompt, llm_string, return_val).result(STORE_SECONDS)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Do as `update`, without blocking the event loop."""
        with self._doing_without as outage:
            if not outage.is_on:
                written = asyncio.wrap_future(self._written(prompt, llm_string, return_val))
                await asyncio.wait_for(asyncio.shield(written), STORE_SECONDS)

    def clear(self, **kwargs: Any) -> None:
        """Delete all answers of this name; `older_than` spares those of so many last seconds."""
        with translating:
            self._store.delete(self.name, older_than=kwargs.get("older_than")).result()

    async def aclear(self, **kwargs: Any) -> None:
        """Do as `clear`, without blocking the event loop."""
        with translating:
            await asyncio.wrap_future(self._store.delete(self.name, older_than=kwargs.get("older_than")))

    @property
    def _doing_without(self) -> _DoingWithout:
        return _DoingWithout(outage_at(self.place))

    def _key(self, prompt: str, llm_string: str) -> bytes:
        facts = json.dumps([_VERSION, "langchain cache", self.name, _without_costs(prompt), llm_string])
        return sha256(facts.encode()).digest()

    def _read(self, key: bytes, found: Mapping[bytes, Entry]) -> list[Generation] | None:
        entry = found.get(key)
        if entry is None or entry.state != "done":
            return None
        try:
            return list(_values().restored(json.loads(entry.value)))
        except FreeProvidersError:
            raise
        except Exception:  # noqa: BLE001 - whatever is there, it is no answer
            self._store.forget([key])  # so that another one can take its place
            outage_at(self.place).say(f"An answer that is kept in {self.place} is damaged: asked again.")
            return None

    def _written(self, prompt: str, llm_string: str, answers: Sequence[Generation]) -> Future[None]:
        value = json.dumps(_values().plain(list(answers)), separators=(",", ":")).encode()
        entry = Entry(state="done", value=value, at=time.time())
        return self._store.put([(self._key(prompt, llm_string), entry)], run=self.name)


class _DoingWithout:
    """A context in which a cache that cannot be used costs no answer: it warns, and goes on."""

    def __init__(self, outage: StoreOutage) -> None:
        self._outage = outage

    def __enter__(self) -> StoreOutage:
        return self._outage

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        match error:
            case TimeoutError():
                self._outage.failed("")
            case UsageError():
                warnings.warn(f"An answer is not cached. {error.message}", AnswerStoreWarning, stacklevel=3)
            case FreeProvidersError():
                self._outage.failed(str(error))
            case _:
                return False
        return True


def _without_costs(prompt: str) -> str:
    """Return the prompt without the `total_cost` of earlier answers.

    LangChain adds it to an answer from a cache, and so the next question of the same conversation
    would have another key than at the first time.
    """
    if '"total_cost"' not in prompt:
        return prompt
    try:
        messages = json.loads(prompt)
    except ValueError:  # a prompt of a string model, which has these words
        return prompt
    changed = False
    for message in messages if isinstance(messages, list) else ():
        kwargs = message.get("kwargs") if isinstance(message, dict) else None
        usage = kwargs.get("usage_metadata") if isinstance(kwargs, dict) else None
        if isinstance(kwargs, dict) and isinstance(usage, dict) and "total_cost" in usage:
            changed = True
            del usage["total_cost"]
            if not usage:
                del kwargs["usage_metadata"]
    return json.dumps(messages) if changed else prompt


@cache
def _values() -> Values:
    return values_of()
