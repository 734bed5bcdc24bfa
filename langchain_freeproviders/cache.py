"""A store of answers as LangChain's cache of models."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import Sequence
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
from freeproviders.answers.store import AnswerStore
from freeproviders.answers.values import Values
from freeproviders.errors import AnswerStoreError, AnswerStoreWarning, FreeProvidersError, UsageError
from langchain_freeproviders.errors import translating
from langchain_freeproviders.values import values_of

_VERSION: Final = 1
_STORE_SECONDS: Final = 2.0
"""How long an answer waits for the store; then it does without."""


class AnswerCache(BaseCache):
    """LangChain's cache of models over a store of answers: on disk, or on a server for a team.

    It takes the answers of any LangChain model, of this package or another, and gives them back as
    they were: text, tool calls, reasoning, usage, metadata. LangChain asks a cache in `invoke` and
    what is built on it, never in `stream`. Errors are not kept. A store that cannot be used costs no
    answer: an `AnswerStoreWarning` says why.

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
        with self._doing_without:
            return self._read(self._store.get([key]).result(_STORE_SECONDS).get(key))
        return None

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """Do as `lookup`, without blocking the event loop."""
        key = self._key(prompt, llm_string)
        with self._doing_without:
            found = await asyncio.wait_for(asyncio.wrap_future(self._store.get([key])), _STORE_SECONDS)
            return self._read(found.get(key))
        return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep answers; what there is already under the same prompt and settings stays.

        An answer with something that JSON cannot hold, as an object of another library, is not
        kept, with a warning.
        """
        with self._doing_without:
            self._written(prompt, llm_string, return_val).result(_STORE_SECONDS)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Do as `update`, without blocking the event loop."""
        with self._doing_without:
            written = asyncio.wrap_future(self._written(prompt, llm_string, return_val))
            await asyncio.wait_for(asyncio.shield(written), _STORE_SECONDS)

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
        return _DoingWithout(self.place)

    def _key(self, prompt: str, llm_string: str) -> bytes:
        facts = json.dumps([_VERSION, "langchain cache", self.name, _without_costs(prompt), llm_string])
        return sha256(facts.encode()).digest()

    def _read(self, entry: Entry | None) -> list[Generation] | None:
        if entry is None or entry.state != "done":
            return None
        try:
            return list(_values().restored(json.loads(entry.value)))
        except FreeProvidersError:
            raise
        except Exception as error:
            raise AnswerStoreError(
                f"An answer that is kept in {self.place} is damaged. Clear the cache, or take another name."
            ) from error

    def _written(self, prompt: str, llm_string: str, answers: Sequence[Generation]) -> Future[None]:
        value = json.dumps(_values().plain(list(answers)), separators=(",", ":")).encode()
        entry = Entry(state="done", value=value, at=time.time())
        return self._store.put([(self._key(prompt, llm_string), entry)], run=self.name)


class _DoingWithout:
    """A context in which a cache that cannot be used costs no answer: it warns, and goes on."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        match error:
            case TimeoutError():
                why = f"The answers at {self._place} did not come within {_STORE_SECONDS:g} s."
            case UsageError():
                why = f"An answer is not cached. {error.message}"
            case FreeProvidersError():
                why = str(error)
            case _:
                return False
        warnings.warn(why, AnswerStoreWarning, stacklevel=3)
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
