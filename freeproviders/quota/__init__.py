"""Limits that all processes, and where wished all machines, of a user share.

`interface` has the words of it: what a caller asks for, what a ledger answers, and `Ledger`, which
every ledger is.
"""
