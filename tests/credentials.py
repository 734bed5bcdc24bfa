"""Credentials as options, and options that only look alike, for the core's and the adapters' tests."""

import base64
import hashlib
import string
import uuid

from hypothesis import strategies as st

LETTERS = string.ascii_letters + string.digits
PREFIXES = {
    "sk-": 48,
    "sk-proj-": 64,
    "sk-or-v1-": 64,
    "sk-ant-api03-": 93,
    "gsk_": 52,
    "hf_": 34,
    "AIzaSy": 33,
    "ghp_": 36,
    "github_pat_": 82,
    "xai-": 80,
    "pplx-": 48,
    "nvapi-": 64,
    "csk-": 48,
    "r8_": 37,
    "tgp_v1_": 43,
    "Bearer ": 32,
    "Bearer sk-": 32,
}
"""How the keys of well-known services begin, and how long the rest is."""


@st.composite
def _published(draw):
    prefix = draw(st.sampled_from(sorted(PREFIXES)))
    rest = draw(st.text(LETTERS, min_size=PREFIXES[prefix], max_size=PREFIXES[prefix]))
    return f"{prefix}{rest}" if prefix[:6] != "Bearer" else f"{prefix}{rest}7"


PUBLISHED = _published()
"""Keys in the form that their service has published."""
_WORDS = st.text("abcxyz_-XYZ019", max_size=8)
_SUSPECT = ["key", "KEY", "Key", "token", "Token", "secret", "api_key", "apikey", "access_token"]
ODD_NAMES = st.one_of(
    st.builds(lambda a, word, b: f"{a}{word}{b}", _WORDS, st.sampled_from(_SUSPECT), _WORDS),
    st.sampled_from(["x", "user", "seed", "organization_id", "prompt_cache_key", "idempotency_key"]),
)
NAMES_OF_KEYS = (
    "key",
    "key_2",
    "secret_key",
    "secretKey",
    "openai_key",
    "groq_key",
    "GROQ_KEY",
    "groqKey",
    "x-groq-key",
    "access_key",
    "auth_key",
    "api_key",
    "groqApiKey",
    "password",
    "hf_token",
    "Authorization",
)
"""Names that say that the value is a key."""
PASSWORDS = st.sampled_from(["hunter2zq", "correct horse battery zq", "00zq7", str(uuid.UUID(int=7**40))])
"""Values that only their name tells: each is in nothing else that is sent or shown."""
CREDENTIALS = st.one_of(st.tuples(ODD_NAMES, PUBLISHED), st.tuples(st.sampled_from(NAMES_OF_KEYS), PASSWORDS))
"""Options that are credentials, by their value or by their name."""

UUID, HASH = str(uuid.UUID(int=7**40)), hashlib.sha256(b"x").hexdigest()
HONEST = {
    "prompt_cache_key": UUID,
    "idempotency_key": HASH,
    "cache_key": "user-7-conversation-0123456789",
    "key_strategy": "prefix-sha256-v2",
    "sort_key": "created_at",
    "token_ids": [1, 2, 3],
    "logit_bias": {"50256": -100},
    "max_tokens_per_doc": 512,
    "stop_token": "<|reserved_special_token_250|>",
    "tokenizer_name": "meta-llama/Llama-3.1-8B-Instruct",
    "user": UUID,
    "safety_identifier": HASH,
    "organization_id": "org-abcdefghijkl0123456789",
    "task": "task-0123456789abcdef0123456789abcdef",
    "estimator": "sk-learn-model-2024-final",
    "draft_model": "pplx-70b-chat-alpha",
    "note": "The bearer of this letter has a token and a key.",
    "picture": base64.b64encode(hashlib.sha512(b"x").digest() * 40).decode(),
    "guided_json": {"properties": {"api_key": {"type": "string"}}, "examples": [{"api_key": "any text"}]},
    "filters": [{"key": "region", "value": "north"}],
    "metadata": {"team": "seven", "run": UUID},
    "use_key": True,
}
"""Options that are none."""
