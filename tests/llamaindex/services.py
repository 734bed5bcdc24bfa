"""The services with their LlamaIndex classes, and what several tests need."""

from dataclasses import dataclass

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage

from llama_index_freeproviders import (
    AIChatFree,
    ChatgptFree,
    FlowGpt,
    FreeNetfly,
    OpenAICompatible,
    llms,
)

ALL = [getattr(llms, name) for name in llms.__all__]
"""The class of each provider."""
HI = [ChatMessage(content="Hi")]


@dataclass(frozen=True)
class Service:
    """A class and what the tests need to make one."""

    cls: type
    options: dict

    @property
    def provider(self):
        return self.cls.provider_class

    def llm(self, replica, **fields):
        return self.cls(base_url=replica.base_url, **{"retry": 0, **self.options, **fields})

    def __str__(self):
        return self.provider.slug


SERVICES = [
    Service(FreeNetfly, {}),
    Service(ChatgptFree, {}),
    Service(FlowGpt, {}),
    Service(AIChatFree, {}),
    Service(OpenAICompatible, {"model": "m"}),
]


class Recorder(BaseEventHandler):
    """Keeps every instrumentation event."""

    seen: list = []  # noqa: RUF012 - a field; pydantic copies it

    @classmethod
    def class_name(cls):
        return "Recorder"

    def handle(self, event, **kwargs):
        self.seen.append(event)

    @property
    def names(self):
        return [type(event).__name__ for event in self.seen]


def listen():
    """Record what happens from now on."""
    recorder = Recorder(seen=[])
    get_dispatcher().add_event_handler(recorder)
    return recorder


async def gathered(stream):
    return [chunk async for chunk in await stream]
