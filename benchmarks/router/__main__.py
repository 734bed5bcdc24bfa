"""Measures routers over the same ten services: `python -m benchmarks.router --help`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from benchmarks.router.client import CONTENDERS
from benchmarks.router.ideal import ideal
from benchmarks.router.plan import Plan, planned
from benchmarks.router.running import HEAD, Verdict, run


def main() -> None:
    say = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__)
    say.add_argument("who", nargs="*", default=["freeproviders"], help=f"some of {', '.join(CONTENDERS)}")
    say.add_argument("--python", default=sys.executable, help="the Python of the environment that has them")
    say.add_argument("--questions", type=int, default=2000)
    say.add_argument("--at-once", type=int, default=100)
    say.add_argument("--window", type=int, default=4, help="seconds of the limits")
    say.add_argument("--slowness", type=float, default=2.0, help="makes answers take longer")
    say.add_argument("--share", type=float, default=0.3, help="the requests that meet a fault")
    say.add_argument("--seed", type=int, default=1)
    say.add_argument("--ways", default="async,threads")
    say.add_argument("--kinds", default="stream,whole")
    say.add_argument("--errors", action="store_true", help="print what went wrong")
    said = say.parse_args()
    print(HEAD, flush=True)
    for kind in said.kinds.split(","):
        plan = planned(
            Plan(
                questions=said.questions,
                at_once=said.at_once,
                share=said.share,
                seed=said.seed,
                slowness=said.slowness,
                window=said.window,
                stream=kind == "stream",
            )
        )
        best = ideal(plan)
        print(f"| ideal, {kind} | | | | {best.seconds:.0f} s | | | {best.attempts} | | | | |", flush=True)
        for name in said.who:
            for way in said.ways.split(","):
                result, reports = run(name, plan, way, said.python)
                verdict = Verdict.of(result, reports, best.seconds)
                print(verdict.row(f"{name}, {kind}, {way}"), flush=True)
                if said.errors:
                    tell(result, reports)


def tell(result, reports) -> None:
    errors = Counter(one.error[:160] for one in result.outcomes if one.error)
    for error, times in errors.most_common(12):
        print(f"    {times} x {error}")
    for one in reports:
        print(f"    {one.name}: {one.requests} requests, over {one.over}, {one.cooling} cooling")
        for wrong in one.wrong[:2]:
            print(f"        refused: {wrong}")


if __name__ == "__main__":
    main()
