"""Answers that are kept, so that no question is asked twice: for batches, and as a cache."""
