"""How each service of the catalogue takes requests for vectors in the OpenAI protocol.

Sources, beside the rows of the catalogue:

* Gemini: a key that it does not know is refused as everywhere at Google; 100 texts at most and
  its words (gel issue 9032, at this very address); no empty text (lingfengQAQ/webnovel-writer pull
  51). A text that is too long is cut without a word, as the same model does by default at Vertex
  (`autoTruncate`): the worse case for a client. Each text of a request counts as one in its limits
  (garrytan/gbrain pull 1922, where it was tried; Roo-Code issue 5713).
* Mistral: its own keys `output_dimension`, `output_dtype` and `metadata`, others are refused (the
  row); 16,384 tokens in a request (semantic-router issue 297) and the words of today (chroma pull
  5597). The words for too many texts are made up in their likeness.
* Cohere: its page about the compatibility API has `model`, `input` and `encoding_format`; too many
  texts (langchain4j issue 1442). There is no place for an input type.
* NVIDIA: `input_type`, `truncate`, `modality` and `embedding_type` of the NIM's reference; a model
  of two sides wants its type (CherryHQ/cherry-studio issue 16818 has the body); a text that is too
  long (langchain-nvidia issue 20).
* vLLM: `truncate_prompt_tokens` with -1 (dynamo pull 11556), other sizes only of models made for
  them (vllm pull 16331), keys that it does not know are ignored.
* llama.cpp: the keys of its server's documentation, others are ignored, `dimensions` too; a text is
  at most a physical batch of 512 tokens (its own words and status, 500).
* Ollama: "invalid input type" (ollama issue 12441); long texts are cut (its documentation of
  `truncate`), here without a way to say no.
* LM Studio: `encoding_format` is ignored (lmstudio-bug-tracker issue 756).
* Cloudflare: 100 texts (cloudflare-docs issue 11316); what becomes of a text that is too long no
  source says, here it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from freeproviders.testing.services.embedding_body import KEYS, Rules
from freeproviders.testing.services.embedding_words import Say, Voice

_GEMINI_EMPTY: Final = Say("* EmbedContentRequest.content contains an empty Part.\n")
GEMINI_WORDS: Final[Mapping[str, Say]] = {
    "missing": Say("* BatchEmbedContentsRequest.requests: requests is not specified\n"),
    "unknown": Say('Invalid JSON payload received. Unknown name "{given}": Cannot find field.'),
    "input": _GEMINI_EMPTY,
    "tokens": Say("Invalid value at 'input' (TYPE_STRING), tokens are not supported."),
    "empty": _GEMINI_EMPTY,
    "batch": Say("* BatchEmbedContentsRequest.requests: at most {batch} requests can be in one batch\n"),
    "size": Say("* EmbedContentRequest.output_dimensionality: {given} is not one of {sizes}.\n"),
    "value": Say("Invalid value at '{key}': {given}"),
}
_MISTRAL: Final[Mapping[str, Say]] = {
    "unknown": Say("Extra inputs are not permitted: {given}.", 422),
    "missing": Say("Field required: {given}.", 422),
    "input": Say("Input should be a valid string or a list of strings.", 422),
    "tokens": Say("Input should be a valid string or a list of strings.", 422),
    "empty": Say("Input cannot be empty."),
    "batch": Say("Too many inputs in request, split into more batches."),
    "window": Say("Input {n} has {count} tokens, exceeding max {window} tokens.", code="3210"),
    "total": Say("Too many tokens overall, split into more batches.", code="3210"),
    "no sizes": Say("This model does not support {key}.", code="3051"),
    "no embeddings": Say("Invalid model: {model}", code="1500"),
}
COHERE_WORDS: Final[Mapping[str, Say]] = {
    "missing": Say("invalid request: {given} must be provided"),
    "unknown": Say("invalid request: unknown field: parameter {given} is not a valid field"),
    "input": Say("invalid request: texts must be a list of strings"),
    "tokens": Say("invalid request: texts must be a list of strings"),
    "empty": Say("invalid request: texts must not be empty"),
    "batch": Say("invalid request: total number of texts must be at most {batch} - received {count}"),
    "window": Say("invalid request: text {n} has too many tokens: {count}, at most {window} are allowed"),
    "no sizes": Say("invalid request: {key} is not supported by the provided model"),
    "size": Say("invalid request: {key} must be one of {sizes}, received {given}"),
    "value": Say("invalid request: {key} must be one of {values}, received {given}"),
    "no type": Say("invalid request: valid input_type must be provided with the provided model"),
}
_NVIDIA: Final[Mapping[str, Say]] = {
    "no type": Say("'input_type' parameter is required for asymmetric models"),
    "window": Say("Input length {count} exceeds maximum allowed token size {window}"),
    "batch": Say("Batch size {count} exceeds maximum allowed batch size {batch}"),
    "no sizes": Say("This model does not support '{key}', but a value of '{key}' was provided."),
    "unknown": Say("Extra inputs are not permitted: {given}", 422),
    "missing": Say("Field required: {given}", 422),
}
_VLLM: Final[Mapping[str, Say]] = {
    "window": Say(
        "This model's maximum context length is {window} tokens. However, you requested {count} tokens in "
        "the input for embedding generation. Please reduce the length of the input."
    ),
    "no sizes": Say(
        "The model does not support matryoshka representation, changing output dimensions will lead to poor "
        "results."
    ),
}
_LLAMA_CPP: Final[Mapping[str, Say]] = {
    "missing": Say('"input" or "content" must be provided'),
    "input": Say('"input" must be a string, a list of strings or a list of tokens'),
    "empty": Say("Input content cannot be empty"),
    "window": Say(
        "input ({count} tokens) is too large to process. increase the physical batch size (current batch "
        "size: {window})",
        500,
    ),
    "value": Say("The format to return the embeddings in. Can be either float or base64"),
}
_OLLAMA: Final[Mapping[str, Say]] = {
    "missing": Say("invalid input"),
    "input": Say("invalid input type"),
    "tokens": Say("invalid input type"),
    "empty": Say("invalid input"),
}
_LM_STUDIO: Final[Mapping[str, Say]] = {
    "input": Say("'input' field must be a string or an array of strings"),
    "tokens": Say("'input' field must be a string or an array of strings"),
}

LLAMA_CPP: Final = Rules(voice=Voice(_LLAMA_CPP), lenient=True, size_key="", tokens=True, window=512)
RULES: Final[Mapping[str, Rules]] = {
    "gemini": Rules(voice=Voice(GEMINI_WORDS), cuts=True, short_as_cut=True, counts_texts=True),
    "mistral": Rules(
        voice=Voice(_MISTRAL),
        keys=("encoding_format", "output_dimension", "output_dtype", "metadata"),
        size_key="output_dimension",
        total=16_384,
    ),
    "cohere": Rules(voice=Voice(COHERE_WORDS), keys=("encoding_format",), size_key=""),
    "nvidia": Rules(
        voice=Voice(_NVIDIA, lambda status, message: {"error": message}),  # noqa: ARG005
        keys=(*KEYS, "input_type", "truncate", "modality", "embedding_type"),
        types=("query", "passage"),
        asymmetric=("embedqa", "nemotron-embed"),
        cut_key="truncate",
    ),
    "vllm": Rules(
        voice=Voice(_VLLM), lenient=True, tokens=True, cut_key="truncate_prompt_tokens", no_sizes=True
    ),
    "llamacpp": LLAMA_CPP,
    "llamafile": LLAMA_CPP,
    "ollama": Rules(voice=Voice(_OLLAMA), lenient=True, cuts=True, window=2048),
    "ollama-cloud": Rules(voice=Voice(_OLLAMA), lenient=True, cuts=True, window=2048),
    "lmstudio": Rules(voice=Voice(_LM_STUDIO), lenient=True, encodings=("float",)),
    "openrouter": Rules(keys=(*KEYS, "input_type", "provider"), types=("search_query", "search_document")),
}
"""By the name of a row; others take what OpenAI takes, but no tokens."""
