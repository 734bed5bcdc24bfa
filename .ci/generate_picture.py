"""Draw the picture of README: what a terminal shows when the two commands in it are run.

    python .ci/generate_picture.py

The commands are run, so the embedded model has to be on this machine.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

ROOT: Final = Path(__file__).parent.parent
PICTURES: Final = ROOT / "docs" / "pictures"
PICTURE: Final = PICTURES / "first-minute.svg"
SCRIPT: Final = PICTURES / "shop_agent.py"
COLUMNS: Final = 100
QUESTION: Final = "What is the capital of France?"
CHAT: Final = ("freeproviders", "chat", "--model", "qwen2.5-coder-0.5b", "--temperature", "0", QUESTION)

# As rich's own, but for the typeface, which would be fetched from another host.
FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>A terminal with two commands of freeproviders</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    """Run the commands, and write the picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    _prompt(console, shlex.join(CHAT))
    console.print(Text(_output(Path(sys.executable).parent / CHAT[0], *CHAT[1:])))
    _prompt(console, f"cat {SCRIPT.name}")
    code = SCRIPT.read_text(encoding="utf-8").rstrip()
    console.print(Syntax(code, "python", background_color="default"))
    console.print()
    _prompt(console, f"python {SCRIPT.name}")
    console.print(Text(_output(sys.executable, SCRIPT)))
    drawn = console.export_svg(title="freeproviders", code_format=FORMAT, unique_id="terminal")
    PICTURE.write_text(drawn, encoding="utf-8")


def _prompt(console: Console, command: str) -> None:
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")), soft_wrap=True)


def _output(*command: str | Path) -> str:
    """Run a command; return what it printed, and what it said beside that first."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": str(COLUMNS)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=PICTURES)
    return done.stderr + done.stdout


if __name__ == "__main__":
    main()
