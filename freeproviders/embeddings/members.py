"""Embedders by name: a service, one of its models, or all that make vectors of one family."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from freeproviders.addresses import is_loopback
from freeproviders.catalogue import Service, catalogue
from freeproviders.catalogue.rows import EmbeddingRow
from freeproviders.consent import Privacy, how_to_confirm
from freeproviders.embeddings.embedder import Embedder
from freeproviders.embeddings.offline import OfflineEmbedder
from freeproviders.embeddings.openai_compatible import OpenAICompatibleEmbedder
from freeproviders.errors import UsageError
from freeproviders.naming import joined

CHOSEN: Final = "FreeProviders"
"""The name of the embedder that chooses among several, for errors."""


def named(member: Embedder | str) -> Embedder:
    """Make an embedder of what a caller named: itself, "offline", "service" or "service/model"."""
    if isinstance(member, Embedder):
        return member
    if not isinstance(member, str) or not member:
        raise UsageError(
            f'A member is an embedder or the name of a service, as "gemini", not {member!r:.200}.',
            provider=CHOSEN,
        )
    if member == OfflineEmbedder.slug:
        return OfflineEmbedder()
    service, _, model = member.partition("/")
    return OpenAICompatibleEmbedder(model or None, service=service)


def of_family(family: str, confirmed: AbstractSet[str], privacy: Privacy) -> list[Embedder]:
    """Make the embedders of a family of the catalogue: local ones first.

    Raises `UsageError` where there are none, with the reason for each service.
    """
    found: list[Embedder] = []
    reasons: list[str] = []
    known: set[str] = set()
    for row in sorted(catalogue(), key=lambda row: not row.local):
        known.update(one.family for one in row.embeddings.values())
        for model, facts in row.embeddings.items():
            if facts.family != family:
                continue
            reason = _reason_against(row, facts, confirmed, privacy)
            try:
                if not reason:
                    embedder = OpenAICompatibleEmbedder(model, service=row)
                    reason = _reason_against_address(row, embedder.base_url, privacy)
                    if not reason:
                        found.append(embedder)
            except UsageError as error:
                reason = error.message
            if reason:
                reasons.append(f"{row.name}: {reason}")
    if found:
        return found
    if reasons:
        raise UsageError(
            f"No member that makes vectors of {family!r} can be asked. {' '.join(reasons)}",
            provider=CHOSEN,
        )
    raise UsageError(
        f"The catalogue has no family {family!r}: use one of {', '.join(sorted(known))}.",
        provider=CHOSEN,
    )


def _reason_against_address(row: Service, base_url: str, privacy: Privacy) -> str:
    """Return why a local server is not asked whose address the environment says, "" where it is."""
    if privacy == "local" and row.local and not is_loopback(base_url):
        return f"{base_url} is not on this machine."
    return ""


def _reason_against(row: Service, facts: EmbeddingRow, confirmed: AbstractSet[str], privacy: Privacy) -> str:
    """Return why a service is not asked unless it is named, "" where it is."""
    if row.gone is not None:
        return "It is gone."
    if row.local:
        return ""
    if privacy == "local":
        return "It is not on this machine."
    if privacy == "no-training" and row.privacy.trains != "no":
        return "It trains on texts, or does not say that it does not."
    if facts.cost != "never" and row.id not in confirmed:
        return joined(
            "It is free within an allowance only.", how_to_confirm(row.id, "your account is not billed")
        )
    return ""
