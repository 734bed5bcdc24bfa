"""Vectors from services: any that speaks OpenAI's protocol, and the catalogue's by their dialects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, cast
from urllib.parse import urlsplit

from freeproviders.addresses import is_loopback
from freeproviders.catalogue.families import embedding_of
from freeproviders.checks import whole_number
from freeproviders.configuration import Configuration, credential_error, credential_in
from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.caps import Caps
from freeproviders.embeddings.embedder import Embedder
from freeproviders.embeddings.family import Family, rules_of
from freeproviders.errors import UsageError
from freeproviders.exchange import begun
from freeproviders.naming import argument
from freeproviders.openai_service import OpenAIService
from freeproviders.transport import Fetch, HttpRequest
from freeproviders.types import OnEmpty, Usage
from freeproviders.usage import estimate_tokens
from freeproviders.wire.embeddings.dialects import dialect_named
from freeproviders.wire.embeddings.request import EmbeddingAnswer, EmbeddingRequest, Role
from freeproviders.wire.embeddings.vectors import Vectors, numpy_if_there
from freeproviders.wire.json import dumps

if TYPE_CHECKING:
    from freeproviders.catalogue import Service
    from freeproviders.catalogue.rows import EmbeddingRow
    from freeproviders.tokens.upper import Estimate
    from freeproviders.wire.embeddings.decoder import VectorDecoder


_NO_OPTIONS: Final = frozenset({"model", "input", "inputs", "texts", "content", "contents", "requests"})
"""Fields in which some service has the model or the texts themselves."""


class OpenAICompatibleEmbedder(OpenAIService, Embedder):
    """Vectors from a service at `base_url`, which ends where `/embeddings` begins, usually in `/v1`.

    `service` is one of the catalogue by its id, as "gemini": address, key variables, models,
    families, limits and the way requests are written are then its row's. The rest of the
    configuration is that of `OpenAICompatible`.

    Args:
        model: the model; None is the first of the row's embedding models.
        service: a service of the catalogue, or a row of your own.
        size: how many numbers a vector shall have, where the model has several sizes.
        normalised: whether vectors are brought to length 1. False leaves them as they come.
        family: the name under which vectors of this model may be compared with those of other
            services; None is the row's.
        query_prefix: put before each query; None is what the row says.
        document_prefix: put before each document; None is what the row says.
        batch_size: texts of a request; None is the row's cap, else 96.
        concurrency: requests at the same time.
        options: options of the service that go with each request.
        cache: where vectors are kept, so that no text is embedded twice: True for the user's cache
            folder, a path for a file of your own. See `VectorCache`.
        configuration: how the service is reached; see `Configured`.
    """

    name = "OpenAICompatible"
    slug = "openai-compatible"
    working: ClassVar[bool] = True
    status_note = "whatever base_url points to"
    api_key_env: str | None = "OPENAI_COMPATIBLE_API_KEY"
    on_empty: ClassVar[OnEmpty] = "error"

    def __init__(
        self,
        model: str | None = None,
        *,
        service: str | Service | None = None,
        size: int | None = None,
        normalised: bool = True,
        family: str | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        batch_size: int | None = None,
        concurrency: int = 4,
        options: Mapping[str, Any] | None = None,
        cache: bool | str | Path | VectorCache = False,
        **configuration: Unpack[Configuration],
    ) -> None:
        for what, value in (("size", size), ("batch_size", batch_size), ("concurrency", concurrency)):
            if value is not None:
                whole_number(what, value, 1, provider=self.name)
        _check_words(normalised, options, family=family, prefixes=(query_prefix, document_prefix))
        if service is not None:
            self._serve(service, fallback=False, at_home=not configuration.get("base_url"))
        super().__init__(**configuration)
        self._warned = set()
        self._check_key()
        if configuration.get("retry") is not None:
            self.patient_retry = self.retry
        self.model = self._model_named(model)
        self._facts = facts = self._facts_of(self.model)
        self._check_size(size)
        self._dialect = dialect_named(facts.dialect if facts else "openai")
        self.cuts_itself = self._dialect.truncation == "asked"
        self.cuts_unasked = self._dialect.truncation == "unknown"
        self.size = size
        self.options = dict(options or {})
        self.cache = VectorCache.of(cache)
        self._prefixes: dict[Role, str] = {
            "query": (facts.query if facts else "") if query_prefix is None else query_prefix,
            "document": (facts.document if facts else "") if document_prefix is None else document_prefix,
        }
        self._family = Family(
            model=family or (facts.family if facts else f"{urlsplit(self.base_url).netloc}/{self.model}"),
            size=size or (facts.size if facts else None),
            normalised=normalised,
            rules=rules_of(self._prefixes, facts.input_types if facts else {}, self.options),
        )
        self.caps = Caps(
            texts=batch_size or (facts.batch if facts else None),
            tokens=facts.tokens if facts else None,
            window=facts.window if facts else None,
            concurrency=concurrency,
        )
        numpy_if_there()  # reads files, which no call may do on its event loop

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, base_url={self.base_url!r})"

    # --- the model ---

    def _model_named(self, model: str | None) -> str:
        """Return the service's own name of a model: the first of its row for None."""
        if model is not None and not isinstance(model, str):
            raise UsageError(
                f"{argument('model')} must be text, not {type(model).__name__}.", provider=self.name
            )
        if self._served is None:
            return model or ""
        known = list(self._served.row.embeddings)
        if not model and not known:
            raise UsageError(
                "The catalogue knows no embedding model of this service: name one with "
                f"{argument('model', 'model=')}.",
                provider=self.name,
            )
        return self._served.model_to_ask(model or known[0])

    def _facts_of(self, model: str) -> EmbeddingRow | None:
        if self._served is None and not is_loopback(self.base_url):
            return None
        return embedding_of(self.service, model)

    def _check_size(self, size: int | None) -> None:
        """Raise `UsageError` for a size that the model does not have, as far as that is known."""
        facts = self._facts
        if size is None or facts is None or size in {facts.size, *facts.sizes}:
            return
        sizes = ", ".join(str(one) for one in sorted({facts.size, *facts.sizes}))
        raise UsageError(
            f"size={size} is none of the model's: {sizes}.", provider=self.name, model=self.model
        )

    @property
    def family(self) -> Family:
        """The family of the vectors; where no row has its size, that is known with the first vectors."""
        return self._family

    def prefix(self, role: Role) -> str:
        """Return what the model wants before each text of a role, "" for nothing."""
        return self._prefixes[role]

    def check_size(self, size: int) -> None:
        """Take the size of the first vectors where none is known; see `Embedder.check_size`."""
        if self._family.size is None:
            self._family = self._family.with_size(size)
        super().check_size(size)

    def normalised(self, vectors: Vectors) -> Vectors:
        """Bring vectors to length 1, unless the row says that they have it."""
        facts = self._facts
        if facts is not None and facts.normalised and vectors.size == facts.size:
            return vectors
        return super().normalised(vectors)

    # --- one request ---

    async def ask(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Make one request; see `Embedder.ask`."""
        if self._facts is not None and self._facts.counts_texts:
            request = replace(request, counts_as=len(request.texts))
        exchange, batch = await begun(self, request)
        exchange.close()
        answer = cast("VectorDecoder", exchange.decoder).answer
        usage = next(part for part in batch if isinstance(part, Usage))
        return replace(answer, tokens=usage.input_tokens, estimated=usage.estimated)

    async def ready(self, request: EmbeddingRequest, fetch: Fetch) -> None:
        """Prepare nothing."""

    def encode(self, request: EmbeddingRequest) -> HttpRequest:
        """Write the request in the service's dialect."""
        path, body = self._dialect.written(request, self._facts)
        address = self._dialect.address(self.base_url, path)
        return HttpRequest("POST", address, self._dialect.headers(self._headers()), dumps(body))

    def decoder(self, request: EmbeddingRequest) -> VectorDecoder:
        """Return a new decoder for one answer."""
        decoder = self._dialect.decoder(request)
        decoder.signs, decoder.announces = self.signs, self.announces
        return decoder

    def upper_estimate(self, request: EmbeddingRequest) -> Estimate:
        """Estimate the most tokens that the texts of a request have."""
        from freeproviders.tokens.upper import upper_estimate  # noqa: PLC0415 - only where limits are kept

        return upper_estimate("\n".join(request.texts), request.model or "")

    def estimated_usage(self, request: EmbeddingRequest, output_chars: int) -> Usage:
        """Estimate what a request has taken, where the service does not say."""
        del output_chars
        return Usage(estimate_tokens("\n".join(request.texts), request.model or ""), 0, estimated=True)


def _check_words(
    normalised: object, options: object, *, family: object, prefixes: tuple[object, object]
) -> None:
    """Raise `UsageError` for what would make another family than the caller means."""
    if not isinstance(normalised, bool):
        raise UsageError(f"normalised must be True or False, not {normalised!r:.200}.")
    if family is not None and not (isinstance(family, str) and family and ";" not in family):
        raise UsageError(f"family must be a name without a semicolon, or None, not {family!r:.200}.")
    for role, prefix in zip(("query", "document"), prefixes, strict=True):
        if not isinstance(prefix, str | None):
            raise UsageError(f"{role}_prefix must be a text or None, not {prefix!r:.200}.")
    if not isinstance(options, Mapping | None):
        raise UsageError(f"options must be a mapping or None, not {type(options).__name__}.")
    for name in _NO_OPTIONS.intersection(options or ()):
        raise UsageError(f"options must not hold {name!r}: the request itself says it.")
    for name, value in (options or {}).items():
        if found := credential_in(name, value):  # it would stand in the body, and beside kept vectors
            raise credential_error(found)
