"""One model over ten services that fail and have limits: how many questions are answered, how soon.

`python -m benchmarks.router` measures our router and other packages' over the same replicas, with
the same questions and the same faults. The replicas run in processes of their own and count for
themselves what comes. `python -m benchmarks.router.overhead` measures what a router adds to one
healthy member.
"""
