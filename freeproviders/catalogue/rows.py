"""The rows of the catalogue: what is known of one service, and of one model there.

A row is one TOML file; each fact is one line in it. Names of fields are the names in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import Final, Literal

from freeproviders.wire.embeddings.names import DialectName
from freeproviders.wire.limits import AllowanceHeaders, Metric
from freeproviders.wire.openai.counting import Tokenizer
from freeproviders.wire.openai.style import PLAIN, Style
from freeproviders.wire.signs import Kind, Sign

Confidence = Literal["A", "B", "C", "D"]
"""How sure a fact is.

A: the service's own documentation or package says so; B: it was tried, and the date noted; C:
a list says so; D: sources contradict each other, or are old.
"""
Cost = Literal["never", "allowance", "paid"]
"""What a model costs.

"never": nothing, whatever the account, as OpenRouter's `:free` or a server on this machine.
"allowance": nothing only within the limits of an account without billing. "paid": money.
"""
Told = Literal["yes", "no", "opt-out", "unknown"]

STALE_DAYS: Final = 90
"""A fact that was checked longer ago than this is shown as unknown."""
SECONDS: Final[Mapping[str, int]] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
}
_PERIOD: Final = re.compile(rf"(?:([1-9]\d{{0,3}}) )?({'|'.join(SECONDS)})s?")


def seconds_of(period: str) -> float:
    """Read a period, as "minute" or "5 hours", in seconds. Raises `ValueError` where it is none."""
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(f"{period!r} is no period: write it as minute, day or 5 hours.")
    return int(match[1] or 1) * SECONDS[match[2]]


_ABILITIES: Final = ("tools", "schema", "reasoning", "images", "audio", "files")


@dataclass(frozen=True, slots=True)
class Known:
    """Where a fact is from: `checked` is the day, `source` an address or the name of a list."""

    checked: date | None = None
    source: str = ""
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(Known):
    """One limit of a service: at most `cap` of `metric` `per` period.

    `per` is a period, "" for concurrency. `reset` says when it comes back: "fixed" at the borders
    of the clock or calendar of `zone`, "rolling" one by one as the period passes over each use,
    "refill" steadily. `scope` is "model" where each model has its own, else the name of a pool that
    all the models of `models` (patterns; none is all) share. `by` says whose the pool is: the
    account's, or the internet address's. `keyless` True is a limit of requests without a key, False
    of those with one. `counted` says when tokens and the like are counted: as a request comes in,
    with its `max_tokens`, or as its answer ends; "" where no source tells.
    """

    metric: Metric
    cap: float
    per: str = ""
    scope: str = "account"
    reset: Literal["fixed", "rolling", "refill", "unknown"] = "unknown"
    zone: str = "UTC"
    models: tuple[str, ...] = ()
    by: Literal["account", "ip"] = "account"
    keyless: bool | None = None
    counted: Literal["", "admission", "end"] = ""
    note: str = ""

    def cells(self) -> dict[str, object]:
        """Return the cells of its row in a table."""
        return {
            "at most": self.cap,
            "what": self.metric,
            "per": self.per or "moment",
            "whose": self.scope,
            "models": self.models,
            "comes back": self.reset,
            "note": self.note,
            "checked": self.checked,
        }

    def counts(self, model: str) -> bool:
        """Return whether the limit is about a model."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow(Known):
    """What a service's file says of one of its models; None and "" leave it to the models' facts.

    `facts` is the model's name in those (`openai/gpt-oss-120b`), where it is another than here.
    `retires` is the day on which the service will drop it. `relayed` says that a server on the user's
    machine does not run the model, but sends the prompts on.
    """

    cost: Cost | None = None
    facts: str = ""
    context: int | None = None
    output: int | None = None
    tools: bool | None = None
    schema: bool | None = None
    reasoning: bool | None = None
    images: bool | None = None
    audio: bool | None = None
    files: bool | None = None
    family: str = ""
    retires: date | None = None
    relayed: bool = False
    note: str = ""

    def cells(self) -> dict[str, object]:
        """Return the cells of its row in a table: what the file says, and nothing of the facts."""
        can = [name for name in _ABILITIES if getattr(self, name)]
        named = {name: getattr(self, name) for name in ("cost", "context", "output", "retires", "note")}
        return {**named, "can": can, "checked": self.checked}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired(Known):
    """A model that a service has dropped, `on` which day and what takes its place."""

    on: date
    successor: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRow(Known):
    """An embedding model of a service.

    `family` is the name under which vectors may be compared; `size` counts the numbers of a vector
    and `sizes` are others that can be asked for; `normalised` says whether vectors have length 1,
    None that no source tells. `batch` is how many texts one request may have and `tokens` how many
    tokens all of them together, `window` how many tokens one text may.

    `query` and `document` are put before texts of these roles, `input_types` are the service's
    words for them that it wants beside the texts. `base64` says whether the service sends vectors
    as base64 where it is asked to; None leaves it to the dialect, which is how the service is asked.
    `counts_texts` says whether each text is a request in the service's limits.

    What a line leaves out is that of its family, and the dialect that of the service.
    """

    family: str
    size: int
    normalised: bool | None = None
    sizes: tuple[int, ...] = ()
    batch: int | None = None
    tokens: int | None = None
    window: int | None = None
    dialect: DialectName = "openai"
    query: str = ""
    document: str = ""
    input_types: Mapping[str, str] = field(default_factory=dict)
    base64: bool | None = None
    counts_texts: bool = False
    cost: Cost | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Headers:
    """The dialect in which a service announces its limits, `on` which of its answers.

    `retry_after` are the kinds of refusals that have a `Retry-After`, in seconds.
    """

    on: Literal["every", "errors", "none", "unknown"] = "unknown"
    allowance: tuple[AllowanceHeaders, ...] = ()
    retry_after: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class Privacy:
    """What becomes of prompts: whether the service trains on them and keeps them."""

    trains: Told = "unknown"
    logs: Told = "unknown"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms(Known):
    """What the service's terms allow: `use` and its conditions in a few words, "" if not known."""

    use: Literal["", "any", "personal", "evaluation", "non-commercial"] = ""
    age: int | None = None
    region: str = ""
    note: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone(Known):
    """The end of a service, or of what was free there: a tombstone.

    `what` has ended: the "service" itself, or only its "free tier", after which it still answers
    users that name it and pay. `on` is the day, or the day of the check where no source names one,
    which `why` then says.
    """

    on: date
    why: str
    what: Literal["service", "free tier"] = "service"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Service(Known):
    """A service that speaks the OpenAI protocol, as its file describes it.

    Attributes:
        id: the name of its file, as "groq".
        name: the name for people, as "Groq".
        base_url: where it is; `{VARIABLE}` in it is taken from the environment.
        key: whether it wants a key.
        keys: the environment variables that may hold the key, the first that is set counts.
        anonymous_key: what is sent in place of a key where none is given.
        key_is_billed: whether keys belong to accounts that pay, so that only what is asked without
            one is free.
        key_address: the page where a key is to be had.
        local: whether it is a server on the user's own machine.
        default_model: the model of a call that names none, "" where one must be named.
        fallback_models: models to go on with when that one fails.
        auto: whether the router may choose the service by itself.
        models: models by name; the line "*" stands for each model that has no line of its own.
        retired: models that are gone, by name.
        limit: its limits.
        transit: seconds within which a request that was written has reached it, None for one second.
        headers: how it announces limits.
        error: the signs of its refusals.
        request: how its requests are written.
        embeddings: embedding models by name.
        embedding_dialect: how it is asked for vectors.
        tokenizer: whose way its server has to count tokens for others, "" for none.
        native_tools: whether its models call tools by themselves; None leaves it to their facts.
        json_schema: whether it constrains answers to a schema; None leaves it to their facts.
        facts: the name of the service in the models' facts, where it is another than `id`.
        probe: a path that answers when a local server is there, as "/api/version".
        start: the command that starts a local server, "" where there is none.
        file: the file it was read from, "" for one of our own.
    """

    id: str
    name: str
    base_url: str
    key: Literal["required", "optional", "none"] = "required"
    keys: tuple[str, ...] = ()
    anonymous_key: str = ""
    key_is_billed: bool = False
    key_address: str = ""
    documentation: str = ""
    local: bool = False
    default_model: str = ""
    fallback_models: tuple[str, ...] = ()
    auto: bool = False
    models: Mapping[str, ModelRow] = field(default_factory=dict)
    retired: Mapping[str, Retired] = field(default_factory=dict)
    limit: tuple[Limit, ...] = ()
    transit: float | None = None
    headers: Headers = field(default_factory=Headers)
    error: tuple[Sign, ...] = ()
    request: Style = PLAIN
    privacy: Privacy = field(default_factory=Privacy)
    terms: Terms = field(default_factory=Terms)
    embeddings: Mapping[str, EmbeddingRow] = field(default_factory=dict)
    embedding_dialect: DialectName = "openai"
    tokenizer: Tokenizer = ""
    native_tools: bool | None = None
    json_schema: bool | None = None
    facts: str = ""
    probe: str = ""
    start: str = ""
    note: str = ""
    gone: Gone | None = None
    file: str = ""

    def __repr__(self) -> str:
        return f"Service(id={self.id!r}, base_url={self.base_url!r}, models={len(self.models)})"

    def cells(self) -> dict[str, object]:
        """Return the cells of its row in a table."""
        free = [name for name, row in self.models.items() if row.cost in {"never", "allowance"}]
        return {
            "id": self.id,
            "name": self.name,
            "free models": None if self.gone is not None else len(free),
            "key": self.keys or self.key,
            "default model": self.default_model,
            "trains on prompts": self.privacy.trains,
            "keeps prompts": self.privacy.logs,
            "gone": self.gone.on if self.gone is not None else None,
            "checked": self.checked,
        }

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        named = {
            **self.cells(),
            "address": self.base_url,
            "keys are issued at": self.key_address,
            "source": self.source,
            "note": self.note,
        }
        limits = [limit.cells() for limit in self.limit]
        models = [{"model": name, **row.cells()} for name, row in self.models.items()]
        return "".join(
            [
                display.facts(named),
                display.folded(display.counted(len(limits), "limit"), display.table(limits))
                if limits
                else "",
                display.folded(display.counted(len(models), "model"), display.table(models))
                if models
                else "",
            ]
        )

    # A service is one object, which keys caches: `Known` would compare three of its fields.
    __eq__ = object.__eq__
    __hash__ = object.__hash__
