"""The pages of the reference: each public name, for mkdocstrings to fill in with its docstring.

The program imports the packages, so that a name leads to where it is defined; the site is made from the
sources alone, and imports nothing.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

PAGES = {
    "core.md": ("The core", "freeproviders", {
        "Asking": ["Backend", "FreeProviders", "AsyncGeneratorProvider", "ProviderModelMixin"],
        "Providers": [
            "Embedded", "OpenAICompatible", "FreeNetfly", "ChatgptFree", "FlowGpt", "AIChatFree",
            "generate_signature",
        ],
        "What goes in": ["ChatRequest", "Message", "Messages", "Tool", "Abilities"],
        "What comes out": [
            "Completion", "Text", "Reasoning", "ToolCall", "InvalidToolCall", "Usage", "Finish", "Attempt",
            "Seam",
        ],
        "Configuration": ["Timeout", "Retry", "Quota"],
    }),
    "errors.md": ("Errors", "freeproviders.errors", {}),
    "tools.md": ("Tools and typed answers", "freeproviders.tools", {}),
    "answers.md": ("Stored answers", "freeproviders.answers", {}),
    "batch.md": ("Batches and comparisons", "freeproviders.batch", {
        "Asking": ["batch", "batch_sync", "answered", "Answered", "kept", "Question"],
        "What became of it": ["Row", "RowState", "Report", "Progress", "Pause"],
        "Comparing": [
            "compare", "compare_sync", "Comparison", "ModelAnswers", "Answer", "Judgement", "Share",
        ],
    }),
    "embeddings.md": ("Embeddings", "freeproviders.embeddings", {}),
    "gateway.md": ("The gateway", "freeproviders.gateway", {}),
    "testing.md": ("Testing", "freeproviders.testing", {}),
    "probing.md": ("Probing a service", "freeproviders.probing", {}),
    "langchain.md": ("LangChain", "langchain_freeproviders", {}),
    "llamaindex.md": ("LlamaIndex", "llama_index_freeproviders", {}),
}  # fmt: skip
"""Each page with its title, its package, and the package's names by subject where they need an order."""

BASES = {
    "langchain_freeproviders": (
        "langchain_freeproviders.base.FreeProvidersChatModel",
        {
            "Fields of the chat models": "langchain_core.language_models:BaseChatModel",
            "Fields of the embeddings": "langchain_core.embeddings:Embeddings",
        },
    ),
    "llama_index_freeproviders": (
        "llama_index_freeproviders.base.CoreLLM",
        {
            "Fields of the LLMs": "llama_index.core.llms:LLM",
            "Fields of the embedding models": "llama_index.core.embeddings:BaseEmbedding",
        },
    ),
}
"""For each adapter, the class whose methods all its models have, and tables of fields: those of all our
classes below a class of the framework's."""


def pages(docs: Path) -> dict[Path, str]:
    """Give the pages."""
    return {
        docs / "reference" / name: "\n".join(lines(title, package, subjects))
        for name, (title, package, subjects) in PAGES.items()
    }


def lines(title: str, package: str, subjects: dict[str, list[str]]) -> Iterator[str]:
    """Write one page."""
    yield f"# {title}\n"
    yield f"The public names of `{package}`. This page is made by `make docs-tables`.\n"
    public = public_names(package)
    if subjects:
        missing = public.keys() ^ {name for names in subjects.values() for name in names}
        if missing:
            sys.exit(
                f"Write in .ci/generate_names.py under which subject {', '.join(sorted(missing))} belong."
            )
    base_class, tables = BASES.get(package, ("", {}))
    for heading, base in tables.items():
        yield f"## {heading}\n"
        yield from field_table(package, public, base)
    if base_class:
        yield f"## What all of them have\n\n::: {base_class}\n    options:\n      heading_level: 3\n"
        subjects = {"Classes and functions": list(public)}
    for subject, names in (subjects or {"": list(public)}).items():
        if subject:
            yield f"## {subject}\n"
        for name in names:
            yield f"::: {public[name]}"
            yield "    options:\n      heading_level: 3\n" if subject else ""


def field_table(package: str, public: dict[str, str], base: str) -> Iterator[str]:
    """Write the fields that our classes below a framework's class declare, and who has each."""
    home, _, name = base.partition(":")
    framework = getattr(importlib.import_module(home), name)
    module = importlib.import_module(package)
    classes = [cls for one in public if isinstance(cls := getattr(module, one), type)]
    classes = [cls for cls in classes if issubclass(cls, framework) and hasattr(cls, "model_fields")]
    owners: dict[str, list[type]] = {}
    for cls in classes:
        for field in cls.model_fields:
            if any(field in vars(one).get("__annotations__", {}) for one in cls.__mro__ if is_ours(one)):
                owners.setdefault(field, []).append(cls)
    yield "| field | default | meaning | of |\n|---|---|---|---|"
    for field, having in owners.items():
        info = having[0].model_fields[field]
        name = info.alias or field
        default = "required" if info.is_required() else "" if info.default_factory else f"`{info.default!r}`"
        if len({str(one.model_fields[field].default) for one in having}) > 1:
            default = "its own"
        whose = "all" if len(having) == len(classes) else ", ".join(f"`{one.__name__}`" for one in having)
        if len(having) > len(classes) / 2 and whose != "all":
            whose = "all but " + ", ".join(f"`{one.__name__}`" for one in classes if one not in having)
        texts = {one.model_fields[field].description or written_below(one, field) for one in having}
        said = cell(texts.pop()) if len(texts) == 1 else "Each class says its own."
        yield f"| `{name}` | {default} | {said} | {whose} |"
    yield ""


def cell(text: str) -> str:
    """Keep a text within its cell, and tags that stand outside of code from being tags."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    return "`".join(part if at % 2 else part.replace("<", "&lt;") for at, part in enumerate(parts))


def written_below(cls: type, field: str) -> str:
    """Find the text that stands below a field in its class."""
    for one in filter(is_ours, cls.__mro__):
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0].body
        for at, below in pairwise(body):
            declares = isinstance(at, ast.AnnAssign) and getattr(at.target, "id", "") == field
            if declares and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                return str(below.value.value)
    return ""


def is_ours(cls: type) -> bool:
    """Tell whether a class is one of this repository."""
    return cls.__module__.startswith(
        ("freeproviders", "langchain_freeproviders", "llama_index_freeproviders")
    )


def public_names(package: str) -> dict[str, str]:
    """Find the public names of a package, each with the place where it is defined."""
    module = importlib.import_module(package)
    names = getattr(module, "__all__", None) or [
        name for name, one in vars(module).items() if isinstance(one, type) and one.__module__ == package
    ]
    return {name: place(module, name) for name in names if name != "__version__"}


def place(module: object, name: str) -> str:
    """Find where a name is defined: in its own module, or where the package has it from."""
    home = getattr(module, name).__module__
    if home.startswith(("freeproviders", "langchain_", "llama_index_")):
        return f"{home}.{name}"
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # such as a union of types
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            return f"{node.module}.{name}"
    sys.exit(f"{module.__name__} does not say where it has {name} from.")
