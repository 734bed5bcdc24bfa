"""How well questions find their passages, on this machine alone: `python -m benchmarks.retrieval`."""
