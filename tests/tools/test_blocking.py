"""The first question with tools in a fresh process blocks no event loop."""

import subprocess
import sys

CODE = """
import asyncio
from blockbuster import blockbuster_ctx
from pydantic import TypeAdapter  # whoever uses LangChain has it
from freeproviders import FlowGpt
from freeproviders.testing import replica
from freeproviders.types import Tool

PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
SAID = '<tool_call>{"name": "f", "arguments": {"a": "3"}}</tool_call>'

async def main(provider):
    with blockbuster_ctx():
        asked = [provider.complete("x", tools=[Tool("f", "", PARAMETERS)]) for _ in range(3)]
        for completion in await asyncio.gather(*asked):
            print(completion.tool_calls[0].arguments)

with replica(FlowGpt, answer=SAID) as r:
    asyncio.run(main(FlowGpt(base_url=r.base_url)))
"""


def test_nothing_is_read_on_the_event_loop():
    """Neither the validator's files nor the package's own: LangGraph's server refuses what blocks."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", CODE], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines() == ["{'a': 3}"] * 3, done.stderr
