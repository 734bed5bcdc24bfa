"""Services and models as dated, sourced rows of data.

`catalogue().service("groq")` is one service; `freeproviders.catalogue.rows` says what a row holds,
`freeproviders.catalogue.facts` what is known of models.
"""

from __future__ import annotations

from functools import cache

from freeproviders.catalogue.facts import Facts, facts, facts_of
from freeproviders.catalogue.rows import Limit, ModelRow, Service
from freeproviders.catalogue.shelf import Catalogue

__all__ = [
    "Catalogue",
    "Facts",
    "Limit",
    "ModelRow",
    "Service",
    "catalogue",
    "facts",
    "facts_of",
    "look_again",
]


@cache
def catalogue() -> Catalogue:
    """Return the catalogue of this process: the package's files with the user's on top."""
    return Catalogue()


def look_again() -> Catalogue:
    """Return a new catalogue, which `catalogue` returns from now on: for files that have changed."""
    catalogue.cache_clear()
    return catalogue()
