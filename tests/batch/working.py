"""Runs several workers on one ledger before a service that notes when each request has come."""

import json
import subprocess
import sys
import time

from freeproviders import OpenAICompatible
from freeproviders.testing import replica


def worked(ledger, folder, *, limits, workers, rows):
    """Let workers ask until the limits are spent; return when requests came, and the reports."""
    came = []

    def answer(messages):
        came.append(time.monotonic())
        return messages[-1]["content"]

    with replica(OpenAICompatible, answer) as service:
        children = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.batch.worker", service.base_url),
                    *(str(folder / f"{name}.db"), str(ledger), json.dumps(limits), str(name), str(rows)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in range(workers)
        ]
        for child in children:
            assert child.stdout.readline() == "ready\n"
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        reports = [json.loads(child.communicate()[0]) for child in children]
    return sorted(came), reports
