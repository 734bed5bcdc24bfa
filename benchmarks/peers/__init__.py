"""Other packages for the same purpose beside ours, over the server of `benchmarks.server`.

`make bench-peers` runs it in an environment of its own; docs/performance.md shows what came of it,
docs/comparison.md what happened where a service misbehaves (`python -m benchmarks.peers.incidents`).
"""
