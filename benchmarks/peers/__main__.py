"""Measures other packages beside ours and writes what was seen: `python -m benchmarks.peers --help`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.measured import FOLDER, conditions, write
from benchmarks.peers.contenders import CONTENDERS
from benchmarks.peers.running import measured


def main() -> None:
    say = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    say.add_argument("--rounds", type=int, default=5)
    say.add_argument(
        "--only", default="", help=f"some of {', '.join(CONTENDERS)}, with commas; writes nothing"
    )
    say.add_argument("--out", type=Path, default=FOLDER / "peers.json")
    said = say.parse_args()
    only = [name for name in said.only.split(",") if name]
    packages = {name for one in CONTENDERS.values() for name in one.packages}
    begun = conditions(packages)
    found = measured(rounds=said.rounds, only=only)
    if not only:
        write(said.out, {"conditions": begun, "rounds": said.rounds, "found": found})


if __name__ == "__main__":
    main()
