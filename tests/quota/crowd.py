"""Many processes on one ledger, some of them killed: `python -m tests.quota.crowd PLACE LOG KILLS`.

Each writes a line with the time for each request that it may send, as a service would see it come.
"""

import os
import random
import signal
import sys
import time

from freeproviders.errors import QuotaSpentError
from freeproviders.quota.clocks import boot_seconds
from freeproviders.quota.opening import open_ledger
from tests.quota.stores import ask, rule

WORKERS = 8
WINDOW_SECONDS, WINDOW_CAP, DAY_CAP = 2, 30, 90
TRANSIT = 0.5
WANTED = ask(
    rule(per="2 seconds", cap=WINDOW_CAP),
    rule(per="day", cap=DAY_CAP),
    (rule("tokens", "day", cap=DAY_CAP * 10, counted="end"), 10),
    rule("concurrency", "", cap=WORKERS * 4),
    transit=TRANSIT,
    lease=300,
)


def work(place, log):
    """Ask until the day is used up."""
    ledger = open_ledger(place)
    seen = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while True:
        try:
            grant = ledger.reserve_sync(WANTED, wait_up_to=60)
        except QuotaSpentError:
            ledger.close()
            return
        now = boot_seconds()
        if now - grant.reserved_at > TRANSIT / 2:  # the machine was busy elsewhere
            ledger.settle(grant, sent=False)
            continue
        os.write(seen, f"{now:.6f}\n".encode())
        ledger.received(grant)
        time.sleep(random.random() * 0.02)
        ledger.settle(grant, {"tokens": 10})


def start(place, log):
    child = os.fork()
    if not child:
        try:
            work(place, log)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return child


def main(place, log, kills):
    running = [start(place, log) for _ in range(WORKERS)]
    for _ in range(kills):
        time.sleep(random.random() * 0.1)
        victim = running.pop(random.randrange(len(running)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        running.append(start(place, log))
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in running))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
