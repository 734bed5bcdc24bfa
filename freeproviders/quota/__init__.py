"""Limits that all processes, and where wished all machines, of a user share.

`interface` has the words of it: what a caller asks for, what a ledger answers, and `Ledger`, which
every ledger is. `opening.open_ledger` opens one; `rules` makes the rules of a model out of a
service's row, and the claims of a request out of them.
"""
