"""What is looked for on this machine once in a process: when this module is imported.

Guards against blocking calls allow an import on an event loop to look for a file, and nothing else. So
a router can be made inside a coroutine; what is installed does not change meanwhile.
"""

from __future__ import annotations

from freeproviders.embedded.server import engine_folder
from freeproviders.errors import MissingDependencyError


def _missing_engine() -> str:
    try:
        engine_folder()
    except MissingDependencyError as error:
        return error.message
    return ""


MISSING_ENGINE = _missing_engine()
"""Why the model on this machine cannot be asked, "" where its engine is installed."""
