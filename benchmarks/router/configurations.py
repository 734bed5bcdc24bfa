"""Whom a router asks for 10,000 random users, and what hundreds of them spend over replicas.

`python -m benchmarks.router.configurations [USERS [OVER_THE_WIRE]]`. The tests run fewer of the
same seeds.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from freeproviders.errors import NotAskedWarning
from tests.router.configurations import accounts, check_construction, check_over_the_wire, world


def main(users: int = 10_000, wire: int = 500) -> None:
    """Check them all; an AssertionError names the seed of the first who may not be asked so."""
    warnings.simplefilter("ignore", NotAskedWarning)
    with TemporaryDirectory() as name, world(Path(name)) as services:
        start = perf_counter()
        sizes = [check_construction(services, seed) for seed in range(users)]
        seconds = perf_counter() - start
        print(
            f"{users:,} users, {sum(size > 0 for size in sizes):,} of them with services, {sum(sizes):,} "
            f"members: none that may cost money or was not confirmed ({seconds:.0f} s)"
        )
        with accounts() as replicas:
            asked = [check_over_the_wire(services, replicas, seed, Path(name)) for seed in range(wire)]
        print(f"{wire:,} users asked {sum(asked):,} times over the wire: nothing was spent unasked")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
