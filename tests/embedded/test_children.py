"""Child processes are out of the reach of the terminal's Ctrl-C."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys

import pytest

from freeproviders.embedded import children


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX process groups")
def test_a_child_is_in_a_group_of_its_own() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, **children.OWN_GROUP
    ) as process:
        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
        process.communicate(b"\n")


def test_on_windows_the_group_is_a_flag_of_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, `start_new_session` would be ignored in silence."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    assert runpy.run_path(children.__file__)["OWN_GROUP"] == {"creationflags": 0x200}
