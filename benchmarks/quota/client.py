"""One of the processes that work off the queue: `python -m benchmarks.quota.client '{...}'`.

It says "ready" when it has opened what it needs, is told the start on its standard input, and works
until the end.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.quota.driver import Job
from benchmarks.quota.drivers import DRIVERS
from benchmarks.quota.service import now


async def main(job: Job) -> None:
    driver = DRIVERS[job.driver](job)
    await driver.open()
    print("ready", flush=True)
    start = int(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
    driver.end = start + job.duration
    await asyncio.sleep(max(0, start - now()) / 1e6)
    workers = [asyncio.ensure_future(driver.work(name)) for name in job.limits for _ in range(job.workers)]
    _, waiting = await asyncio.wait(workers, timeout=max(0, driver.end - now()) / 1e6)
    for worker in waiting:
        worker.cancel()
    done = await asyncio.gather(*workers, return_exceptions=True)
    await driver.close()
    for error in done:
        if isinstance(error, Exception):
            raise error


if __name__ == "__main__":
    asyncio.run(main(Job.read(sys.argv[1])))
