"""Services of the catalogue as both adapters' tests ask them: a replica in the service's place.

One is a row of the package's, one exists only as a file in the user's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from freeproviders.catalogue import look_again
from freeproviders.testing import Replica, replica

HOUSE = """\
name = "House of Models"
base_url = "https://house.example/v1"
keys = ["HOUSE_KEY"]
key_address = "https://house.example/keys"
default_model = "house-blend"
checked = 2026-11-01
source = "https://house.example/docs"
confidence = "C"

[models]
"house-blend" = { cost = "never", context = 12000, output = 900, tools = true, schema = true, images = true }
"house-small" = { cost = "allowance", context = 4000, tools = false, schema = false, reasoning = true }

[retired]
"old-blend" = { on = 2026-10-01, successor = "house-blend" }
"""
KEY = "key-a1b2c3d4e5f6"


@dataclass(frozen=True)
class Catalogued:
    """A service of the catalogue, whose key is in the environment."""

    id: str
    name: str
    variable: str
    model: str
    patch: pytest.MonkeyPatch

    def __str__(self) -> str:
        return self.id

    @contextmanager
    def replica(self, answer: Any = None, **options: Any) -> Iterator[Replica]:
        """Let a replica that behaves as the row says stand for the service."""
        with replica(service=self.id, answer=answer, **{"api_key": KEY, **options}) as server:
            self.patch.setenv(f"{self.id.upper()}_API_BASE", server.base_url)
            yield server


SERVICES = {
    "groq": ("Groq", "GROQ_API_KEY", "openai/gpt-oss-120b"),
    "house": ("House of Models", "HOUSE_KEY", "house-blend"),
}


@contextmanager
def catalogued(service: str, folder: Path) -> Iterator[Catalogued]:
    """Make a service known, with its key in the environment."""
    (folder / "house.toml").write_text(HOUSE, encoding="utf-8")
    name, variable, model = SERVICES[service]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FREEPROVIDERS_SERVICES", str(folder))
            patch.setenv(variable, KEY)
            look_again()  # at once: a test may make its model inside a coroutine
            yield Catalogued(service, name, variable, model, patch)
    finally:
        look_again()
