"""One of several workers on one ledger: `python -m tests.batch.worker ADDRESS STORE LEDGER LIMITS NAME ROWS`.

It begins when a line comes, and writes its report as JSON.
"""

import asyncio
import json
import sys

from freeproviders import OpenAICompatible, Quota
from freeproviders.batch import batch


async def main(*given):
    address, store, ledger, limits, name, rows = given
    quota = Quota(json.loads(limits), name="shared", ledger=ledger)
    backend = OpenAICompatible("m", base_url=address, quota=quota)
    print("ready", flush=True)
    sys.stdin.readline()
    questions = (f"Question {name} {number}" for number in range(int(rows)))
    report = await batch(questions, backend, store=store)
    print(json.dumps({"done": report.done, "exhausted": report.exhausted, "why": report.why}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
