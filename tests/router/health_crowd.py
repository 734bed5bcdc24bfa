"""Processes that share the health of a service: `python -m tests.router.health_crowd PLACE`.

Each does what it is told, on a clock that is set forward when time is to pass: nobody has to wait.
"""

import asyncio
import os
import signal
import sys

from freeproviders.errors import ProviderConnectionError
from freeproviders.quota.clocks import boot_seconds
from freeproviders.quota.opening import open_ledger
from freeproviders.router.health import PROBE_SECONDS, Health
from freeproviders.router.member import Key
from freeproviders.router.memory import Memory

PROCESSES = 8
KEY = Key("acme", "m-1", "a-secret-key")


def work(place, commands, answers):
    """Do what is asked, one question after the other."""
    ledger = open_ledger(place)
    ahead = 0.0
    health = Health(ledger, memory=Memory(lambda: boot_seconds() + ahead))
    admission = None

    async def do(command):
        nonlocal admission, ahead
        match command.partition(" ")[0]:
            case "ask":
                await health.look([KEY])
                admission = await health.admit(KEY)
                return "probe" if admission and admission.is_probe else "asked" if admission else "passed by"
            case "fails":
                health.failed(admission, ProviderConnectionError("refused", phase="connect"))
            case "answers":
                health.answered(admission, first=0.1, whole=0.2)
            case "state":
                await health.look([KEY])
                return health.state(KEY).name
            case "later":
                ahead += float(command.split()[1])
            case "end":
                await asyncio.to_thread(ledger.close)
        await asyncio.wrap_future(ledger.notes([]))  # what was said before is written
        return "done"

    async def serve():
        while True:
            command = (await asyncio.to_thread(commands.readline)).strip()
            answers.write(await do(command) + "\n")
            answers.flush()
            if command == "end":
                return

    asyncio.run(serve())


class Process:
    """One of them, and the way to it."""

    def __init__(self, place):
        (down, to_child), (from_child, up) = os.pipe(), os.pipe()
        self.id = os.fork()
        if not self.id:
            try:
                work(place, os.fdopen(down), os.fdopen(up, "w"))
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        os.close(down)
        os.close(up)
        self.commands = os.fdopen(to_child, "w")
        self.answers = os.fdopen(from_child)

    def say(self, command):
        self.commands.write(command + "\n")
        self.commands.flush()

    def do(self, command):
        self.say(command)
        return self.answers.readline().strip()

    def kill(self):
        os.kill(self.id, signal.SIGKILL)
        os.waitpid(self.id, 0)


def all_at_once(processes, command):
    """Have all do something at the same time; return their answers."""
    for one in processes:
        one.say(command)
    return [one.answers.readline().strip() for one in processes]


def main(place):
    """One notes that the service is down; then one probes, is killed, and another one does."""
    processes = [Process(place) for _ in range(PROCESSES)]
    print("closed", *set(all_at_once(processes, "state")))
    first, *others = processes
    print("first", first.do("ask"), first.do("fails"))
    print("down", *set(all_at_once(others, "ask")))
    all_at_once(processes, "later 7")
    found = all_at_once(processes, "ask")
    print("probe", *sorted(found))
    victim = processes.pop(found.index("probe"))
    print("while it is probed", *set(all_at_once(processes, "ask")))
    victim.kill()
    print("after the kill", *set(all_at_once(processes, "ask")))
    all_at_once(processes, f"later {PROBE_SECONDS}")
    found = all_at_once(processes, "ask")
    print("later", *sorted(found))
    print("closed", processes[found.index("probe")].do("answers"), *set(all_at_once(processes, "state")))
    all_at_once(processes, "end")
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(one.id, 0)[1]) for one in processes))


if __name__ == "__main__":
    main(sys.argv[1])
