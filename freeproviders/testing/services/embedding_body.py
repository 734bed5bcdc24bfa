"""Judging a request for vectors in the OpenAI protocol, by the rules of each service."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from freeproviders.testing.services.base import Embedding
from freeproviders.testing.services.embedding import openai_answer, with_faults
from freeproviders.testing.services.embedding_words import Voice

KEYS: Final = ("encoding_format", "dimensions", "user")
ENCODINGS: Final = ("float", "base64")
Cut = Literal["", "start", "end"]
"""Which end of a text that is too long is cut off; "" for neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """What a service takes for one embedding model.

    `sizes` are the sizes of vectors that can be asked for, None any up to `size`. `normalised` says
    whether its vectors have length 1. `batch` is how many texts a request may have, `window` how
    many tokens a text, `total` how many all; None is no limit. `types` are the values of
    `input_type`, `base64` says whether vectors are sent so.
    """

    size: int
    sizes: Collection[int] | None = None
    normalised: bool = True
    batch: int | None = 2048
    window: int | None = 8192
    total: int | None = 300_000
    types: Collection[str] = ()
    base64: bool = True


OPENAI_MODELS: Final[Mapping[str, EmbeddingModel]] = {
    "text-embedding-3-small": EmbeddingModel(size=1536),
    "text-embedding-3-large": EmbeddingModel(size=3072),
    "text-embedding-ada-002": EmbeddingModel(size=1536, sizes=()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a service takes requests for vectors in the OpenAI protocol.

    Attributes:
        voice: how it refuses.
        keys: what a body may have beside `model` and `input`.
        lenient: whether keys that it does not know are ignored.
        encodings: the forms of vectors; where there is one, others are ignored.
        size_key: the key for the size of a vector, "" where there is none.
        tokens: whether lists of tokens are taken in place of texts.
        types: the values of `input_type`.
        asymmetric: parts of the names of models that want one of them.
        cut_key: the key that asks for texts to be cut: `truncate` names the end, as in "END",
            `truncate_prompt_tokens` says how many tokens are left, -1 for all that fit.
        cuts: whether texts that are too long are cut without being asked.
        batch: how many texts a request may have, where the row does not say.
        window: how many tokens a text may have, where the row does not say.
        total: how many tokens all texts may have.
        short_as_cut: whether a shorter vector keeps the numbers of the whole one.
        counts_texts: whether each text is a request in the service's limits.
        no_sizes: whether the models of which the row says nothing have one size.
    """

    voice: Voice = Voice()  # noqa: RUF009 - it is frozen
    keys: Collection[str] = KEYS
    lenient: bool = False
    encodings: Sequence[str] = ENCODINGS
    size_key: str = "dimensions"
    tokens: bool = False
    types: Collection[str] = ()
    asymmetric: Collection[str] = ()
    cut_key: str = ""
    cuts: bool = False
    batch: int | None = None
    window: int | None = None
    total: int | None = None
    short_as_cut: bool = False
    counts_texts: bool = False
    no_sizes: bool = False


OPENAI: Final = Rules(tokens=True)


def judge(body: Mapping[str, Any], model: str, facts: EmbeddingModel, rules: Rules) -> Embedding:
    """Judge a body whose model there is. Raises `Refusal`."""
    voice = rules.voice
    if "input" not in body:
        voice.refuse("missing", given="input")
    types = rules.types or facts.types
    known = {"model", "input", *rules.keys, *(["input_type"] if types else [])}
    unknown = [key for key in body if key not in known]
    if unknown and not rules.lenient:
        voice.refuse("unknown", given=", ".join(unknown))
    purpose = value_of(body, "input_type", types, voice) if types else ""
    if not purpose and any(part in model for part in rules.asymmetric):
        voice.refuse("no type")
    size = size_of(body, facts, voice, rules.size_key)
    encoding = rules.encodings[0]
    if len(rules.encodings) > 1 and facts.base64:
        encoding = value_of(body, "encoding_format", rules.encodings, voice) or encoding
    texts, counts = _texts(body["input"], facts, rules)
    cut, window = _cutting(body, facts, rules)
    read = within(texts, counts, window, cut, voice)
    tokens = sum(min(count, window or count) for count in counts)
    if facts.total is not None and tokens > facts.total:
        voice.refuse("total", count=tokens, total=facts.total)
    return Embedding(
        texts=texts,
        read=read,
        tokens=tokens,
        model=model,
        size=size,
        input_type=purpose,
        requests=len(texts) if rules.counts_texts else 1,
        normalised=facts.normalised and not (rules.short_as_cut and size < facts.size),
        write=with_faults(openai_answer(model, tokens, encoding), numbered=True),
    )


def value_of(body: Mapping[str, Any], key: str, values: Collection[str], voice: Voice) -> str:
    """Read a value that is one of several, "" where there is none."""
    value = body.get(key)
    if value is not None and value not in values:
        voice.refuse("value", key=key, given=json.dumps(value), values=", ".join(values))
    return value or ""


def size_of(body: Mapping[str, Any], facts: EmbeddingModel, voice: Voice, key: str) -> int:
    """Read how many numbers a vector shall have."""
    size = body.get(key) if key else None
    if size is None:
        return facts.size
    if facts.sizes is not None and not facts.sizes:
        voice.refuse("no sizes", key=key)
    known = range(1, facts.size + 1) if facts.sizes is None else sorted({*facts.sizes, facts.size})
    if type(size) is not int or size not in known:
        sizes = f"1 to {facts.size}" if facts.sizes is None else ", ".join(map(str, known))
        voice.refuse("size", key=key, given=json.dumps(size), sizes=sizes)
    return size


def within(
    texts: Sequence[str], counts: Sequence[int], window: int | None, cut: Cut, voice: Voice
) -> list[str]:
    """Return what the model reads of texts; refuse one that is too long and may not be cut."""
    read = []
    for n, (text, count) in enumerate(zip(texts, counts, strict=True)):
        if window is None or count <= window:
            read.append(text)
        elif not cut:
            voice.refuse("window", n=n, count=count, window=window)
        else:
            read.append(cut_to(text, window, cut))
    return read


def cut_to(text: str, window: int, cut: Cut = "end") -> str:
    """Cut a text to so many tokens, which are words with one blank between; of tokens so many."""
    tokens = json.loads(text) if _is_list(text) else text.split()
    kept = tokens[:window] if cut == "end" else tokens[len(tokens) - window :]
    return json.dumps(kept) if _is_list(text) else " ".join(kept)


def word_count(text: str) -> int:
    """Count the tokens of a text, one for each word, so that tests know the number."""
    return max(1, len(text.split()))


def is_tokens(value: Any) -> bool:
    """Whether a value is a list of tokens."""
    return isinstance(value, list) and bool(value) and all(type(one) is int and one >= 0 for one in value)


def _texts(given: Any, facts: EmbeddingModel, rules: Rules) -> tuple[list[str], list[int]]:
    """Read the texts and how many tokens each has; tokens in place of a text become JSON."""
    voice = rules.voice
    if isinstance(given, str) or is_tokens(given):
        given = [given]
    if not isinstance(given, list) or not given:
        voice.refuse("input")
    if all(map(is_tokens, given)):
        if not rules.tokens:
            voice.refuse("tokens")
    elif not all(isinstance(one, str) for one in given):
        voice.refuse("input")
    if not all(given):
        voice.refuse("empty")
    if facts.batch is not None and len(given) > facts.batch:
        voice.refuse("batch", batch=facts.batch, count=len(given))
    return (
        [one if isinstance(one, str) else json.dumps(one) for one in given],
        [word_count(one) if isinstance(one, str) else len(one) for one in given],
    )


def _cutting(body: Mapping[str, Any], facts: EmbeddingModel, rules: Rules) -> tuple[Cut, int | None]:
    """Read whether texts are cut, and to how many tokens."""
    asked = body.get(rules.cut_key) if rules.cut_key else None
    if rules.cut_key == "truncate":
        ends: Mapping[str, Cut] = {"START": "start", "END": "end"}
        return ends.get(value_of(body, "truncate", ("NONE", *ends), rules.voice), ""), facts.window
    if asked is not None:
        if type(asked) is not int or asked < -1:
            rules.voice.refuse("value", key=rules.cut_key, given=json.dumps(asked), values="-1 and above")
        return "end", facts.window if asked == -1 else asked
    return "end" if rules.cuts else "", facts.window


def _is_list(text: str) -> bool:
    return text.startswith("[") and text.endswith("]") and text[1:-1].replace(", ", "").isdigit()
