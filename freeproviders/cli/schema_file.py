"""A file with a JSON schema, as the option of a command names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer


def response_format(path: Path) -> dict[str, Any]:
    """Read a file with a JSON schema as the setting of a request."""
    try:
        schema = json.loads(path.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}.", param_hint="--schema") from None
    if not isinstance(schema, dict):
        raise typer.BadParameter(f"{path} holds no JSON schema.", param_hint="--schema")
    return {"type": "json_schema", "json_schema": {"name": schema.get("title") or "answer", "schema": schema}}
