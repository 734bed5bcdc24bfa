"""The five services in one row each, for tests that go through all of them."""

from dataclasses import dataclass

from freeproviders import AIChatFree, ChatgptFree, FlowGpt, FreeNetfly, OpenAICompatible, Retry

FAST = Retry(attempts=3, first=0.01, jitter=0)


@dataclass(frozen=True)
class Service:
    """A provider class and what the tests need to make one."""

    cls: type
    options: dict
    style: dict

    def provider(self, r, **configuration):
        return self.cls(base_url=r.base_url, **{"retry": 0, **self.options, **configuration})

    def __str__(self):
        return "-".join([self.cls.slug, *self.style.values()])


SERVICES = [
    Service(FreeNetfly, {}, {}),
    Service(ChatgptFree, {}, {"style": "sse"}),
    Service(ChatgptFree, {}, {"style": "json"}),
    Service(FlowGpt, {}, {}),
    Service(AIChatFree, {}, {}),
    Service(OpenAICompatible, {"model": "m"}, {}),
]
HI = [{"role": "user", "content": "Hi"}]


async def text_of(provider, messages=HI, **options):
    return "".join([piece async for piece in provider.create_async_generator(messages=messages, **options)])
