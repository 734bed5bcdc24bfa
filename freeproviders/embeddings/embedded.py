"""Vectors from a model on this machine, run by llama.cpp from a GGUF file of the user's own."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from freeproviders.catalogue.families import families, family_of
from freeproviders.checks import whole_number
from freeproviders.configuration import Configuration, read_items
from freeproviders.deadlines import Timeout, running_loop
from freeproviders.embedded.client import ENGINE_RETRY, ENGINE_TIMEOUT, EngineClient
from freeproviders.embedded.digest import digest
from freeproviders.embedded.gguf import ModelFile, read_model_file
from freeproviders.embedded.server import SLOTS, EngineServer, EngineSettings, ensure_server
from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.caps import Caps
from freeproviders.embeddings.embedder import Embedder
from freeproviders.embeddings.family import Family, rules_of
from freeproviders.embeddings.fitting import FITTING
from freeproviders.embeddings.openai_compatible import OpenAICompatibleEmbedder
from freeproviders.embeddings.texts import checked
from freeproviders.errors import (
    ContextOverflowError,
    EmbeddedModelError,
    FamilyMismatchError,
    FreeProvidersError,
    ProviderError,
    UsageError,
)
from freeproviders.naming import argument, words
from freeproviders.retry import Retry
from freeproviders.transport import HttpRequest
from freeproviders.wire.embeddings.request import EmbeddingAnswer, EmbeddingRequest, Role
from freeproviders.wire.embeddings.vectors import Vectors, numpy_if_there

Pooling = Literal["mean", "cls", "last"]
"""How one vector is made of those of all tokens: their mean, the first one's, the last one's."""

ENV_MODEL: Final = "FREEPROVIDERS_EMBEDDING_MODEL"
MAX_WINDOW: Final = 2048
"""Tokens of a text, unless more are asked for: memory and time grow with their square."""
BATCH: Final = 16
"""Texts of a request: few are lost with one, and more make it no faster."""

_POOLINGS: Final = ("mean", "cls", "last")
_SPECIAL: Final = 8
"""More tokens than any model puts at the ends of a text."""
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9.]+")
_OPTIONS: Final = MappingProxyType({"encoding_format": "base64"})
_TOKENS: Final = re.compile(r"(\d+) tokens")


class EmbeddedEmbedder(Embedder):
    """Vectors from an embedding model that llama.cpp runs in a child process of this one.

    Nothing is downloaded: the file is the caller's. Its family is the name in the file with a
    digest of the weights, so that vectors of another quantisation or version are never mixed with
    its own. All embedders of a process with the same settings share one engine, which is started
    when it is first needed, and anew when it died.

    Args:
        model_path: the GGUF file; None is the one in `FREEPROVIDERS_EMBEDDING_MODEL`.
        pooling: how the vectors of a text's tokens become one, where the file does not say, or
            says what is wrong: "mean", "cls" or "last".
        family: the name under which the vectors may be compared with those of other sources of the
            same model, as a service of the catalogue. The caller vouches for it.
        query_prefix: put before each query; None is what models of this name want.
        document_prefix: put before each document; None is what models of this name want.
        window: the most tokens of a text; None is the model's own number, at most 2048.
        slots: texts that the engine works on at the same time.
        batch_size: texts of a request.
        threads: cores to use; None is all but one.
        cache: where vectors are kept, so that no text is embedded twice: True for the user's cache
            folder, a path for a file of your own.
        headers: added to each request to the engine.
        timeout: the limits of every wait; see `Timeout`.
        retry: how often a request is made again; see `Retry`.
    """

    name = "Embedded"
    slug = "embedded"
    default_timeout: ClassVar[Timeout] = ENGINE_TIMEOUT
    default_retry: ClassVar[Retry] = ENGINE_RETRY
    headers: dict[str, str]
    timeout: Timeout

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        *,
        pooling: Pooling | None = None,
        family: str | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        window: int | None = None,
        slots: int = SLOTS,
        batch_size: int = BATCH,
        threads: int | None = None,
        cache: bool | str | Path | VectorCache = False,
        headers: Mapping[str, str] | None = None,
        timeout: float | Timeout | None = None,
        retry: int | Retry | None = None,
    ) -> None:
        for what, value in (
            ("window", window),
            ("slots", slots),
            ("batch_size", batch_size),
            ("threads", threads),
        ):
            if value is not None:
                whole_number(what, value, 1, provider=self.name)
        if pooling is not None and pooling not in _POOLINGS:
            raise UsageError(
                f'pooling must be "mean", "cls", "last" or None, not {pooling!r:.200}.', provider=self.name
            )
        configuration: Configuration = {"headers": headers, "timeout": timeout, "retry": retry}
        self.__dict__.update(read_items(configuration, self.name, self.default_timeout, self.default_retry))
        self.patient_retry = self.retry  # an engine that was started anew needs no patience
        try:
            self._file = file = read_model_file(_path_of(model_path))
            self._digest = digest(file)
            _check_kind(file, pooling)
        except FreeProvidersError as error:
            raise error.about(self.name, "")  # noqa: B904 - the same error
        self.cache = VectorCache.of(cache)
        self.model = plain_name(file.name) or plain_name(file.path.stem)
        settings = EngineSettings(
            model=file.path,
            alias=f"{self.model}@{self._digest}",  # a file that is replaced has an engine of its own
            context=self._context(window, pooling or file.pooling),
            slots=slots,
            threads=threads,
            pooling=pooling or file.pooling,
        )
        self._settings = settings
        if settings.context != self._context(None, settings.pooling):
            self.options = {"window": settings.context}  # vectors of cut texts are kept apart by it
        given: Mapping[Role, str | None] = {"query": query_prefix, "document": document_prefix}
        self._prefixes = _prefixes_of(family or "", self.model, file.path.stem)
        self._prefixes |= {role: prefix for role, prefix in given.items() if prefix is not None}
        own = settings.alias if settings.pooling == file.pooling else f"{settings.alias}/{pooling}"
        self._family = Family(
            model=family or own,
            size=file.vector_size,
            normalised=True,
            rules=rules_of(self._prefixes, {}),
        )
        # A request is bounded by tokens too, so that it is answered in time by a large model.
        self.caps = Caps(
            texts=batch_size,
            tokens=max(settings.context, MAX_WINDOW),
            window=settings.context - _left_over(settings.pooling),
            concurrency=slots,
        )
        numpy_if_there()  # reads files, which no call may do on its event loop

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r})"

    @property
    def family(self) -> Family:
        """The family: the name that the caller vouched for, else name and digest of the file."""
        return self._family

    def prefix(self, role: Role) -> str:
        """Return what is put before each text of a role."""
        return self._prefixes[role]

    def normalised(self, vectors: Vectors) -> Vectors:
        """Return the vectors as they are: the engine gives them length 1."""
        return vectors

    async def prepare(self) -> EngineServer:
        """Start the engine, so that the first text need not wait for it. Raises `EmbeddedModelError`."""
        running_loop()
        try:
            await asyncio.to_thread(self._check_file)
            return await ensure_server(self._settings)
        except FreeProvidersError as error:
            raise error.about(self.name, self.model)  # noqa: B904 - the same error

    async def ask(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Make one request; see `Embedder.ask`."""
        return await (await self._client()).ask(request)

    async def count_tokens(self, texts: str | Iterable[str], *, role: Role = "document") -> list[int]:
        """Count the tokens that each text has with its prefix, exactly, as the model has them."""
        client, before = await self._client(), self.prefix(role)
        return [len(await client.tokenized(before + text)) for text in checked(texts)]

    async def cut(self, text: str, window: int) -> str:
        """Cut a text to the longest beginning that is found to fit into a window of so many tokens.

        The cut text is the caller's own, not one put together of tokens.
        """
        if len(text.encode()) < window - _SPECIAL:  # no byte has more than one token
            return text
        client = await self._client()
        count = len(await client.tokenized(text))
        if count <= window:
            return text
        # What fits, and what does not, with their tokens: the edge is guessed from both, every other
        # time, since the guesses may creep where tokens are not spread evenly.
        fits, few, over, many = 0, 0, len(text), count
        guessed = False
        while over - fits > 1 and few != window:
            guessed = not guessed
            share = (window - few) / (many - few) if guessed else 0.5
            middle = min(max(fits + int((over - fits) * share), fits + 1), over - 1)
            count = len(await client.tokenized(text[:middle]))
            if count <= window:
                fits, few = middle, count
            else:
                over, many = middle, count
        return text[:fits]

    def _context(self, window: int | None, pooling: str | None) -> int:
        """Return the tokens that the engine is to have room for."""
        length = self._file.context_length
        if length is not None and window is not None and window > length:
            raise UsageError(
                f"window={window} is more than the model's {length}.", provider=self.name, model=self.model
            )
        context = (window or min(length or MAX_WINDOW, MAX_WINDOW)) + _left_over(pooling)
        return min(context, length or context)

    async def _client(self) -> _EngineClient:
        """Return a client of the engine, which is started if it does not run."""
        return _EngineClient(
            self._settings,
            self.caps.window,
            await self.prepare(),
            headers=self.headers,
            timeout=self.timeout,
            retry=self.retry,
        )

    def _check_file(self) -> None:
        """Raise `FamilyMismatchError` where the file is no longer the one that was looked at.

        An engine that wakes or is started anew would else make vectors of another family.
        """
        now = digest(read_model_file(self._file.path))
        if now != self._digest:
            raise FamilyMismatchError(
                f"The model file {self._file.path} has changed: its digest was {self._digest} and is {now}.",
                advice="Make a new embedder for the new file.",
            )


class _EngineClient(EngineClient, OpenAICompatibleEmbedder):
    """The client of an engine that makes vectors, for one request."""

    def __init__(
        self,
        settings: EngineSettings,
        window: int | None,
        server: EngineServer,
        *,
        headers: Mapping[str, str],
        timeout: Timeout,
        retry: Retry,
    ) -> None:
        super().__init__(
            settings.alias, base_url=f"{server.address}/v1", headers=headers, timeout=timeout, retry=retry
        )
        self.attach(settings, server)
        self._window = window

    def encode(self, request: EmbeddingRequest) -> HttpRequest:
        """Write the request as llama.cpp wants it."""
        return super().encode(replace(request, options=_OPTIONS))

    def given_up(self, error: ProviderError) -> None:
        """Say in plain words that a text is too long for the model."""
        super().given_up(error)
        if isinstance(error, ContextOverflowError):
            said = _TOKENS.search(error.message)
            count = f"has {said[1]} tokens" if said else "is too long"
            error.message = f"The text {count}, and the model's window is {self._window}."
            error.advice = words(
                f"Split it, or pass {argument('truncate', 'truncate=True')} to cut such texts."
            )
            error.args = (error.message,)
            error.status, error.body = None, ""


def _left_over(pooling: str | None) -> int:
    """Return the tokens of the engine's room that no text may take: one where it reads a text in pieces."""
    return int(pooling == "last")


def plain_name(name: str) -> str:
    """Write a model's name as families do: small letters, and a hyphen for what is no letter or digit."""
    return _NOT_IN_NAMES.sub("-", name.lower()).strip("-")


def _prefixes_of(*names: str) -> dict[Role, str]:
    """Return what a model wants before texts of each role, by the first of its names that is known."""
    known = families()
    for name in names:
        if row := known.get(name) or known.get(family_of(name) or ""):
            return {"query": row.query, "document": row.document}
    return {"query": "", "document": ""}


def _path_of(given: str | os.PathLike[str] | None) -> Path:
    """Return the file to use. Raises `UsageError` where none is named."""
    path = os.environ.get(ENV_MODEL, "").strip() if given is None else os.fspath(given)
    if path:
        return Path(path).expanduser().absolute()
    if given is not None:
        raise UsageError(f"{argument('model_path')} is empty.")
    raise UsageError(
        "An embedding model on this machine needs a GGUF file of your own, and nothing is downloaded for it.",
        advice=(
            f"Pass {argument('model_path')}, or set {ENV_MODEL}. Models that fit, with repositories of "
            f"the Hugging "
            f"Face hub that have files of them: {'; '.join(map(str, FITTING))}. "
            "OfflineEmbedder needs no file and no network."
        ),
    )


def _check_kind(file: ModelFile, pooling: Pooling | None) -> None:
    """Raise `EmbeddedModelError` for a model that makes no vectors of texts."""
    if file.pooling == "rank":
        raise EmbeddedModelError(
            f"The model file {file.path} judges pairs of texts (it is a reranker) and makes no vectors.",
            advice="Use an embedding model.",
        )
    if pooling is None and file.pooling not in _POOLINGS:
        raise EmbeddedModelError(
            f"The model file {file.path} ({file.architecture}) does not say how the vectors of a text's "
            "tokens become one: it is a chat model, or was converted without that.",
            advice='Use an embedding model, or pass the pooling of its training: "mean", "cls" or "last".',
        )
