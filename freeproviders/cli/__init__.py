"""The command line `freeproviders`; it needs the extra `cli`. Nothing of the core imports it.

`freeproviders.cli.app` puts the commands together, one module for each. Providers are imported when
a command needs one, so that help is quick.
"""

from __future__ import annotations

import importlib.util
import sys

from freeproviders.installing import with_extra

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line and exit.

    Exit code 0 is success, 1 an error of a service or of the model, 2 a wrong command, 130 an
    interrupt.
    """
    try:
        _run()
    except KeyboardInterrupt:  # while a module was loaded
        sys.exit(130)


def _run() -> None:
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        sys.stderr.write(f"The command line needs two more packages. {with_extra('cli')}\n")
        sys.exit(1)
    from freeproviders.cli.app import run_app

    run_app()
