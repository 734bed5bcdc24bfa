"""Make the models' facts, and the table of their windows, of models.dev; `make catalogue` runs this.

    python .ci/generate_models.py FOLDER

FOLDER holds models.json (by model) and services.json (by service), made of a commit of models.dev
(MIT licence), which both name. Nothing is fetched. Left out are models that write no text, facts that
are not used, and what a service says of a model just as the model's own facts do.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "freeproviders"
OUT = PACKAGE / "catalogue" / "models.json"
WINDOWS = PACKAGE / "model_windows.py"
sys.path.insert(0, str(PACKAGE.parent))

from freeproviders.model_names import tail  # noqa: E402 - of this very tree

KEPT = {
    "name": "name",
    "context": "context",
    "output": "output",
    "tool_call": "tools",
    "structured_output": "schema",
    "reasoning": "reasoning",
    "family": "family",
    "open_weights": "open",
    "release_date": "released",
    "last_updated": "updated",
    "status": "status",
}
MODALITIES = {"image": "images", "audio": "audio", "pdf": "files"}


def main(folder: Path) -> None:
    """Write the file."""
    models = json.loads((folder / "models.json").read_text())
    services = json.loads((folder / "services.json").read_text())
    if models["about"] != services["about"]:
        sys.exit("The two files are of different commits.")
    commit = re.search(r"commit (\w+) of (\d{4}-\d\d-\d\d)", models["about"])
    if commit is None:
        sys.exit("The files do not say of which commit they are.")
    own = {name: facts(row) for name, row in models["models"].items() if chats(row)}
    document = {
        "about": {"source": "models.dev", "licence": "MIT", "commit": commit[1], "date": commit[2]},
        "models": own,
        "services": {
            service.replace("_", "-"): {
                name: differing(facts(row), own.get(row.get("base_model", ""), {}), row.get("base_model", ""))
                for name, row in rows["models"].items()
                if chats(row)
            }
            for service, rows in services["services"].items()
        },
    }
    OUT.write_text(pretty(document), encoding="utf-8")
    WINDOWS.write_text(module(windows(document)), encoding="utf-8")
    print(f"{OUT.name}: {len(own)} models, {sum(map(len, document['services'].values()))} of services")


def windows(document: Mapping[str, Any]) -> dict[str, int]:
    """Look up the window of each model by what follows the last slash; a model's own facts come first."""
    found: dict[str, int] = {}
    own = document["models"]
    for table in (own, *(rows for _, rows in sorted(document["services"].items()))):
        for name, row in table.items():
            context = row.get("context") or own.get(row.get("of", ""), {}).get("context")
            found.setdefault(tail(name), context)
    return {name: context for name, context in sorted(found.items()) if context}


def module(found: Mapping[str, int]) -> str:
    """Write the windows as a module, which is there when it is imported."""
    rows = "".join(f'    "{name}": {context:_},\n' for name, context in found.items())
    return (
        '"""Context windows by model in tokens; `make catalogue` generates them from models.dev."""\n\n'
        "from __future__ import annotations\n\n"
        "from collections.abc import Mapping\nfrom typing import Final\n\n"
        f"WINDOWS: Final[Mapping[str, int]] = {{\n{rows}}}\n"
    )


def chats(row: Mapping[str, Any]) -> bool:
    """Return whether a model answers in text, and is no model of embeddings."""
    writes = row.get("output_modalities", ("text",))
    return "text" in writes and row["context"] > 0 and "embed" not in row["name"].lower()


def facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Take the facts that are asked for; what is false or empty is left out."""
    found = {ours: row[theirs] for theirs, ours in KEPT.items() if row.get(theirs)}
    if row.get("structured_output") is False:  # where it is not said, it is unknown
        found["schema"] = False
    return found | {
        ours: True for kind, ours in MODALITIES.items() if kind in row.get("input_modalities", ())
    }


def differing(row: dict[str, Any], base: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Leave to the model's own facts what they say too; what a service lacks is said."""
    if not base:
        return row
    lost = {key: False for key, value in base.items() if value is True and key not in row}
    return {"of": name} | {key: value for key, value in row.items() if base.get(key) != value} | lost


def pretty(document: Mapping[str, Any]) -> str:
    """Write one model a line, so that a difference is one line."""
    lines = ["{", f'"about": {json.dumps(document["about"])},', '"models": {']
    lines += table(document["models"])
    lines += ["},", '"services": {']
    services = sorted(document["services"].items())
    for n, (service, rows) in enumerate(services):
        lines += [f"{json.dumps(service)}: {{", *table(rows), "}," if n < len(services) - 1 else "}"]
    return "\n".join([*lines, "}", "}", ""])


def table(rows: Mapping[str, Any]) -> list[str]:
    """Write rows, sorted, one a line."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(row, ensure_ascii=False, sort_keys=True)}"
        for name, row in sorted(rows.items())
    ]
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
