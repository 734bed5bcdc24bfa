"""All benchmarks, one after the other: `make bench`."""

import importlib
import pkgutil

import benchmarks

NO_BENCHMARKS = {
    "__main__",
    "harness",
    "indexing",
    "quota",
    "resume",
    "retrieval",
    "router",
    "server",
}  # the quotas take an hour, indexing, resume and routers minutes; retrieval is about quality


def main() -> None:
    for module in sorted(
        info.name for info in pkgutil.iter_modules(benchmarks.__path__) if info.name not in NO_BENCHMARKS
    ):
        print(f"\n## {module}\n")
        importlib.import_module(f"benchmarks.{module}").main()


if __name__ == "__main__":
    main()
