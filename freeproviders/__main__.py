"""`python -m freeproviders`: the command line."""

from __future__ import annotations

from freeproviders.cli import main

if __name__ == "__main__":
    main()
