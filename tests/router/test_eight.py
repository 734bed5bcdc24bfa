"""Eight processes: one notices that services are down, and the others do not ask them."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from freeproviders import FreeProviders, OpenAICompatible
from freeproviders.testing import replica

SEVEN = 7
DOWN = [{"status": 503, "retry_after": 600}, {"status": 429, "retry_after": 600}, {"status": 401}]
ROOT = Path(__file__).parents[2]


def test_what_one_has_noticed_the_others_know():
    with ExitStack() as stack:
        servers = [
            *(stack.enter_context(replica(OpenAICompatible, "down", faults=fault)) for fault in DOWN),
            stack.enter_context(replica(OpenAICompatible, "up")),
        ]
        urls = [server.base_url for server in servers]
        router = FreeProviders(*(OpenAICompatible("m", base_url=url, api_key="k") for url in urls))
        assert router.complete_sync("Hi").text == "up"
        assert [len(server.requests) for server in servers] == [1, 1, 1, 1]
        others = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.router.one_of_eight", *urls],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(SEVEN)
        ]
        assert [other.communicate(timeout=90)[0] for other in others] == ["up\n"] * SEVEN
        assert [len(server.requests) for server in servers] == [1, 1, 1, 1 + SEVEN]
