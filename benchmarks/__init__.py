"""What the hot paths cost, against floors in the same run.

docs/performance.md says how to read the numbers.
"""
