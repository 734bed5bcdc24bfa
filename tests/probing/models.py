"""A model that does what it is asked, for replicas that agree with their rows."""

from __future__ import annotations

from freeproviders.abilities import Abilities
from freeproviders.backend import Backend
from freeproviders.types import Finish, Text, ToolCall, Usage


class Obedient(Backend):
    """Calls the tool that it is offered, gives the object that is wanted, and says hello otherwise."""

    name = "Obedient"
    model = "obedient"
    default_abilities = Abilities(tools=True, schema=True)

    async def batches(self, request):
        if request.tools:
            yield [ToolCall("call_0123456789", request.tools[0].name, {"city": "Paris"})]
        elif request.response_format:
            yield [Text('{"word": "Hello", '), Text('"letters": 5}')]
        else:
            yield [Text("Hello"), Text(" there.")]
        yield [
            Usage(12, 3),
            Finish(reason="tool_calls" if request.tools else "stop", provider=self.name, model=self.model),
        ]
