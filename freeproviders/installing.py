"""How the package is installed with an extra, as errors say it.

The package is not published: its name on a package index may be taken by a stranger, so no user is
told to install it by that name. With a release, this is the one place that changes, and the pages.
"""

from __future__ import annotations


def with_extra(*extras: str) -> str:
    """Return the sentence that says how to install the package with its extras."""
    return f'Run in your clone of freeproviders: pip install ".[{",".join(extras)}]"'
