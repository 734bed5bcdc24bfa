"""The embedding models of the rows: sourced, and comparable where their family says so."""

from __future__ import annotations

import pytest

from freeproviders.catalogue import Service, catalogue

WITH = [service for service in catalogue() if service.embeddings]
each = pytest.mark.parametrize("service", WITH, ids=lambda service: service.id)


@each
def test_a_model_has_a_date_a_source_a_confidence_and_a_cost(service: Service) -> None:
    for name, row in service.embeddings.items():
        assert row.checked, name
        assert row.source, name
        assert row.confidence, name
        assert row.cost, name
        assert row.size not in row.sizes, name
        assert "" not in (row.family, name)


def test_vectors_of_one_family_have_one_size() -> None:
    sizes: dict[str, set[int]] = {}
    for service in WITH:
        for row in service.embeddings.values():
            sizes.setdefault(row.family, set()).add(row.size)
    assert len(sizes) >= 10
    assert all(len(found) == 1 for found in sizes.values()), sizes


def test_a_family_is_told_apart_where_services_make_other_vectors_of_one_model() -> None:
    """Cloudflare takes the mean of all tokens where the model's authors take the first one."""
    assert catalogue().service("cloudflare").embeddings["@cf/baai/bge-large-en-v1.5"].family.endswith("-mean")
