"""All benchmarks, one after the other: `make bench`. What they find is in docs/measured/floors.json."""

import importlib
import pkgutil

import benchmarks
from benchmarks.harness import COMPARED
from benchmarks.measured import FOLDER, conditions, write

PACKAGES = {"aiohttp", "langchain-core", "llama-index-core", "pydantic"}
NO_BENCHMARKS = {
    "__main__",
    "batch",
    "gateway",
    "grading",
    "harness",
    "measured",
    "peers",
    "indexing",
    "local",
    "quota",
    "ray",
    "resume",
    "retrieval",
    "router",
    "server",
}  # the quotas take an hour; batches, indexing, resume, routers, gateway minutes; two are of quality


def main() -> None:
    found, begun = {}, conditions(PACKAGES)
    for module in sorted(
        info.name for info in pkgutil.iter_modules(benchmarks.__path__) if info.name not in NO_BENCHMARKS
    ):
        print(f"\n## {module}\n")
        COMPARED.clear()
        importlib.import_module(f"benchmarks.{module}").main()
        found[module] = dict(COMPARED)
    write(FOLDER / "floors.json", {"conditions": begun, "found": found})


if __name__ == "__main__":
    main()
