"""The old clients' examples run as they were written, against the replicas.

The imports and the addresses are given.
"""

import asyncio

import pytest
from aiohttp import ClientError, TCPConnector

import freeproviders
from freeproviders import ChatgptFree, FreeNetfly, Messages, generate_signature
from freeproviders.testing import replica
from tests.core.servers import forward_proxy

FREE_NETFLY = """
# Creating a FreeNetfly provider instance
provider = FreeNetfly()

# Defining messages for the conversation
messages = [
    {"role": "user", "content": "Hello, how are you?"},
]

# Generating text using the default model
async def generate_text():
    async for chunk in provider.create_async_generator(model=provider.default_model, messages=messages):
        print(chunk, end="")

# Running the asynchronous task
asyncio.run(generate_text())

# Example with custom model and proxy
async def generate_text():
    async for chunk in provider.create_async_generator(model='gpt-4', messages=messages, proxy='http://myproxy:8080'):
        print(chunk, end="")

asyncio.run(generate_text())
"""

CHATGPT_FREE = """
# Example 1: Sending a simple message to the default model
async def example_1():
    provider = ChatgptFree()
    messages = Messages(
        [
            {
                'role': 'user',
                'content': 'Hello, how are you?'
            }
        ]
    )
    async for response in provider.create_async_generator(model=provider.default_model, messages=messages):
        print(response)

# Example 2: Sending a message to a specific model
async def example_2():
    provider = ChatgptFree()
    messages = Messages(
        [
            {
                'role': 'user',
                'content': 'Translate this into French: "Hello, how are you?"'
            }
        ]
    )
    async for response in provider.create_async_generator(model='gpt-4o-mini-2024-07-18', messages=messages):
        print(response)

# Example 3: Using a proxy
async def example_3():
    provider = ChatgptFree()
    messages = Messages(
        [
            {
                'role': 'user',
                'content': 'What is the capital of France?'
            }
        ]
    )
    async for response in provider.create_async_generator(model=provider.default_model, messages=messages, proxy='http://your.proxy.server:port'):
        print(response)

# Run the examples (replace with your own async event loop)
asyncio.run(example_1())
asyncio.run(example_2())
asyncio.run(example_3())
"""

FLOW_GPT = """
# Example 1: Using the default model
async def example_1():
    messages = [
        {"role": "user", "content": "Hello, how are you?"},
        {"role": "assistant", "content": "I am doing well, thank you. How about you?"},
    ]
    async for response in FlowGpt.create_async_generator(messages=messages):
        print(response)

# Example 2: Using a specific model with system message
async def example_2():
    messages = [
        {"role": "system", "content": "You are a helpful and polite chatbot."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    async for response in FlowGpt.create_async_generator(model="gpt-3.5-turbo", messages=messages):
        print(response)

# Example 2: Using a specific model
async def example_2b():
    messages = [
        {"role": "user", "content": "What is the meaning of life?"},
    ]
    async for response in FlowGpt.create_async_generator(model="gpt-4-turbo", messages=messages):
        print(f"Assistant: {response}")

# Example 3: Using a system message
async def example_3():
    messages = [
        {"role": "system", "content": "You are a friendly and informative chatbot."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    async for response in FlowGpt.create_async_generator(model="google-gemini", messages=messages):
        print(f"Assistant: {response}")

async def example_4():
    messages = [{"role": "user", "content": "Привет, как дела?"}]
    generator = await FlowGpt.create_async_generator(model="gpt-3.5-turbo", messages=messages)
    async for message in generator:
        print(message)

for example in (example_1, example_2, example_2b, example_3, example_4):
    asyncio.run(example())
"""

AI_CHAT_FREE = """
async def example_usage():
    messages = [
        {"role": "user", "content": "Hello, how are you?"},
        {"role": "assistant", "content": "I'm doing well, thank you. How can I help you today?"},
    ]
    async for chunk in AIChatFree.create_async_generator(model='gemini-1.5-pro', messages=messages):
        print(chunk)

# Run the example (replace with your own event loop if needed)
import asyncio
asyncio.run(example_usage())

signature = generate_signature(time=1694585535000, text="Hello, world!", secret="your_secret_key")
print(signature)
"""


@pytest.mark.parametrize(
    ("name", "example", "questions"),
    [
        ("FreeNetfly", FREE_NETFLY, 2),
        ("ChatgptFree", CHATGPT_FREE, 3),
        ("FlowGpt", FLOW_GPT, 5),
        ("AIChatFree", AI_CHAT_FREE, 1),
    ],
)
def test_example(name, example, questions, capsys):
    """Each example prints the service's answer for each of its questions."""
    cls = getattr(freeproviders, name)
    with replica(cls, answer=["Bonjour", " à tous"]) as r, forward_proxy() as proxy:
        here = type(name, (cls,), {"default_base_url": r.base_url})
        for address in ("http://myproxy:8080", "http://your.proxy.server:port"):
            example = example.replace(address, proxy.url)
        exec(  # noqa: S102
            compile(example, name, "exec"),
            {name: here, "asyncio": asyncio, "Messages": Messages, "generate_signature": generate_signature},
        )

        assert (
            capsys.readouterr().out.replace("\n", "").replace("Assistant: ", "").count("Bonjour à tous")
            == questions
        )
        assert sum(request.method == "POST" for request in r.requests) == questions
        assert len(proxy.requests) == {"FreeNetfly": 1, "ChatgptFree": 2}.get(name, 0)


def test_attributes():
    """The classes have the attributes that the pages name, and none claims to work."""
    for name in ("FreeNetfly", "ChatgptFree", "FlowGpt", "AIChatFree"):
        cls = getattr(freeproviders, name)
        assert cls.url.startswith("https://")
        assert cls.api_endpoint.startswith("/")
        assert cls.working is False
        assert cls.default_model in cls.models
        assert cls.supports_stream is True
        assert issubclass(cls, freeproviders.AsyncGeneratorProvider)
        assert issubclass(cls, freeproviders.ProviderModelMixin)
        assert cls.get_model(None) == cls.get_model("") == cls.default_model
        with pytest.raises(freeproviders.errors.UnknownModelError, match=cls.default_model):
            cls.get_model("no-such-model")
    assert freeproviders.FlowGpt.get_model("gemini-pro") == "google-gemini"
    assert ChatgptFree.get_model("gpt-4o-mini") == "gpt-4o-mini-2024-07-18"
    assert freeproviders.FlowGpt.supports_message_history
    assert freeproviders.FlowGpt.supports_system_message
    assert freeproviders.AIChatFree.supports_message_history


def test_signature():
    """The signature is what the service's own page computed."""
    assert (
        generate_signature(time=1694585535000, text="Hello, world!", secret="your_secret_key")
        == "043c61093c7cff46e9db8bef417c5b191ec7baba7c284725a6e5955530c6286c"
    )
    assert generate_signature(1, "a") == "0e95aec5d52405f3801aa1d73721a28cd948fc913bc914dfd1f127ce4f6f235a"


async def test_promised_errors():
    """`ClientError`, `TimeoutError`, `RuntimeError`, `RateLimitError` come as the pages promise."""
    messages = [{"role": "user", "content": "Hi"}]
    with replica(FreeNetfly, faults={"status": 503}) as r:
        with pytest.raises(ClientError):
            [
                x
                async for x in FreeNetfly(base_url=r.base_url, retry=0).create_async_generator(
                    messages=messages
                )
            ]
    with replica(FreeNetfly, faults={"delay_headers": 5}) as r:
        with pytest.raises(asyncio.TimeoutError):
            [
                x
                async for x in FreeNetfly(base_url=r.base_url, retry=0, timeout=0.2).create_async_generator(
                    messages=messages
                )
            ]
    for page, lacks in (("no-nonce", "nonce"), ("no-post-id", "post id")):
        with replica(ChatgptFree, faults={"page": page}) as r:
            with pytest.raises(RuntimeError, match=lacks):
                [x async for x in ChatgptFree(base_url=r.base_url).create_async_generator(messages=messages)]
    with replica(freeproviders.AIChatFree, faults={"quota": True}) as r:
        with pytest.raises(freeproviders.errors.RateLimitError):
            [
                x
                async for x in freeproviders.AIChatFree(base_url=r.base_url, retry=0).create_async_generator(
                    messages=messages
                )
            ]


async def test_a_connector_of_the_caller():
    """It is used, and not closed."""
    connector = TCPConnector()
    with replica(freeproviders.AIChatFree, answer="ok") as r:
        flow = freeproviders.AIChatFree(base_url=r.base_url)
        for _ in range(2):
            assert [
                x
                async for x in flow.create_async_generator(
                    messages=[{"role": "user", "content": "Hi"}], connector=connector
                )
            ] == ["ok"]
        assert len({request.connection for request in r.requests}) == 1
    assert not connector.closed
    await connector.close()
