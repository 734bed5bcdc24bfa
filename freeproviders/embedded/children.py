"""Start of child processes out of the reach of the terminal's Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
from typing import Final, TypedDict


class OwnGroup(TypedDict, total=False):
    """Arguments of `subprocess.Popen`."""

    start_new_session: bool
    creationflags: int


# Ctrl-C goes to all processes of the terminal's group, and the parent is to handle it. Windows has
# no sessions: there, `start_new_session` would be ignored in silence.
if sys.platform == "win32":
    OWN_GROUP: Final[OwnGroup] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
else:
    OWN_GROUP: Final[OwnGroup] = {"start_new_session": True}
