"""What the hot paths cost, against floors in the same run; see docs/performance.md for how to read the numbers."""
