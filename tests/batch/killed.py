"""A batch in a process that may be killed: `python -m tests.batch.killed ADDRESS STORE ROWS IN_FLIGHT`.

It writes the number of each row that was handed on, and at last the word "end".
"""

import asyncio
import os
import sys

from freeproviders import OpenAICompatible, Retry
from freeproviders.batch import answered


async def main(address, store, rows, in_flight):
    backend = OpenAICompatible("m", base_url=address, retry=Retry(attempts=3, first=0.005, longest=0.05))
    questions = (f"Question {number}" for number in range(rows))
    run = answered(questions, backend, store=store, run="killed", in_flight=in_flight)
    async for row in run:
        if not row.kept:
            os.write(1, f"{row.index} {row.state}\n".encode())
    os.write(1, b"end\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
