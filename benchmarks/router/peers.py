"""Other packages that ask many services, with the settings that they recommend.

Each is told the limits of the services as far as its options can say them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator

from benchmarks.router.plan import MAX_TOKENS, MODEL, Plan, question

ATTEMPTS = 12
WHOLE_SECONDS = 30.0
AGAIN = "again"
SETTINGS = {"temperature": 0, "max_tokens": MAX_TOKENS}


def make(name: str, plan: Plan, addresses: dict[str, str]):
    return {"LiteLLM Router": LiteLLM, "with_fallbacks": Fallbacks, "freelm": Freelm}[name](plan, addresses)


class LiteLLM:
    """`Router`, shuffling by the limits, which it enforces before each call."""

    def __init__(self, plan: Plan, addresses: dict[str, str]) -> None:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        import litellm

        litellm.suppress_debug_info = True
        logging.disable()
        litellm.telemetry = False
        minute = 60 / plan.window
        members = []
        for one in plan.members:
            limits = {"rpm": round(one.requests * minute)}
            if one.tokens is not None:
                limits["tpm"] = round(one.tokens * minute)
            if one.at_once is not None:
                limits["max_parallel_requests"] = one.at_once
            members.append(
                {
                    "model_name": MODEL,
                    "litellm_params": {
                        "model": f"openai/{MODEL}",
                        "api_base": addresses[one.name],
                        "api_key": "key",
                        **limits,
                    },
                }
            )
        self.router = litellm.Router(
            model_list=[*members, *({**one, "model_name": AGAIN} for one in members)],
            fallbacks=[{MODEL: [AGAIN]}],  # without any, a stream that breaks is not asked for again
            num_retries=ATTEMPTS - 1,
            timeout=WHOLE_SECONDS,
            stream_timeout=plan.silence,
            optional_pre_call_checks=["enforce_model_rate_limits"],
        )
        self.stream = plan.stream

    def _settings(self, number: int) -> dict:
        messages = [{"role": "user", "content": question(number)}]
        return {"model": MODEL, "messages": messages, "stream": self.stream, **SETTINGS}

    async def ask(self, number: int) -> AsyncIterator[str]:
        answer = await self.router.acompletion(**self._settings(number))
        if not self.stream:
            yield answer.choices[0].message.content or ""
            return
        async for chunk in answer:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    def ask_sync(self, number: int) -> Iterator[str]:
        answer = self.router.completion(**self._settings(number))
        if not self.stream:
            yield answer.choices[0].message.content or ""
            return
        for chunk in answer:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    async def close(self) -> None: ...


class Fallbacks:
    """Chat models of LangChain, the next one where one fails; they do not try again themselves."""

    def __init__(self, plan: Plan, addresses: dict[str, str]) -> None:
        from langchain_openai import ChatOpenAI

        models = [
            ChatOpenAI(
                model=MODEL,
                base_url=addresses[one.name],
                api_key="key",
                max_retries=0,
                timeout=plan.silence,
                temperature=0,
                extra_body={"max_tokens": MAX_TOKENS},  # its own name for it is not every service's
            )
            for one in plan.members
        ]
        self.model = models[0].with_fallbacks(models[1:])
        self.stream = plan.stream

    async def ask(self, number: int) -> AsyncIterator[str]:
        if not self.stream:
            yield (await self.model.ainvoke(question(number))).text
            return
        async for chunk in self.model.astream(question(number)):
            yield chunk.text

    def ask_sync(self, number: int) -> Iterator[str]:
        if not self.stream:
            yield self.model.invoke(question(number)).text
            return
        for chunk in self.model.stream(question(number)):
            yield chunk.text

    async def close(self) -> None: ...


class Freelm:
    """`FreeLLM` that waits where all are busy; its buckets are told the windows' caps."""

    def __init__(self, plan: Plan, addresses: dict[str, str]) -> None:
        import freelm
        import httpx
        from freelm.providers.base import Provider

        def providers():
            made = []
            for one in plan.members:
                provider = Provider(
                    "key",
                    name=one.name,
                    base_url=addresses[one.name],
                    models=[freelm.ModelSpec(MODEL)],
                    rpm=one.requests * 60 / plan.window,
                )
                for key in provider.keys:
                    if key.bucket is not None:
                        key.bucket.capacity = key.bucket.tokens = float(one.requests)
                made.append(provider)
            return made

        options = {"wait": True, "max_wait": WHOLE_SECONDS, "max_attempts": ATTEMPTS, "persist": False}
        limits = httpx.Limits(max_connections=None)
        self.model = freelm.FreeLLM(providers(), http_client=httpx.Client(limits=limits), **options)
        self.amodel = freelm.AsyncFreeLLM(
            providers(), http_client=httpx.AsyncClient(limits=limits), **options
        )
        self.stream = plan.stream

    async def ask(self, number: int) -> AsyncIterator[str]:
        if not self.stream:
            yield await self.amodel.text(question(number), model=MODEL, **SETTINGS)
            return
        async for piece in self.amodel.astream(question(number), model=MODEL, **SETTINGS):
            yield piece

    def ask_sync(self, number: int) -> Iterator[str]:
        if not self.stream:
            yield self.model.text(question(number), model=MODEL, **SETTINGS)
            return
        yield from self.model.stream(question(number), model=MODEL, **SETTINGS)

    async def close(self) -> None:
        await asyncio.to_thread(self.model.close)
        await self.amodel.aclose()
