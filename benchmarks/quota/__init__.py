"""How many calls pass a service's limits, and how much of the limits is used, by whom.

`python -m benchmarks.quota` measures it: eight processes with one queue ask a simulated service
that counts for itself. Nothing here is taken from the ledger that is judged.
"""
