"""Whom a router asks over random users, by decision, by construction and over the wire."""

from __future__ import annotations

import warnings

import pytest

from freeproviders.errors import NotAskedWarning
from tests.router.configurations import (
    accounts,
    check_construction,
    check_decision,
    check_over_the_wire,
    world,
)

CONFIGURATIONS = 10_000
CONSTRUCTED = 300
OVER_THE_WIRE = 40
"""`benchmarks/router/configurations.py` constructs 10,000 of them, and lets hundreds ask."""


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with world(tmp_path_factory.mktemp("services")) as made:
        yield made


def test_each_decision_is_that_of_a_second_opinion(services):
    chosen = sum(check_decision(services, seed) for seed in range(CONFIGURATIONS))
    assert CONFIGURATIONS / 50 < chosen < CONFIGURATIONS / 2


def test_nobody_is_asked_who_may_cost_money_or_was_not_confirmed(services):
    """Random users get those members that a second opinion allows, and all of them."""
    sizes = [check_construction(services, seed) for seed in range(CONSTRUCTED)]
    assert sum(size > 0 for size in sizes) > CONSTRUCTED / 4


def test_nothing_is_spent_over_the_wire(services, tmp_path):
    """Free accounts and billed ones, which show themselves in limits, other models and costs."""
    with accounts() as replicas, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotAskedWarning)
        asked = [check_over_the_wire(services, replicas, seed, tmp_path) for seed in range(OVER_THE_WIRE)]
    assert sum(asked) > OVER_THE_WIRE / 2
