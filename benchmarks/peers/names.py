"""Tries what docs/coming-from.md says of other packages: `python -m benchmarks.peers.names`.

Each name and argument in the columns of other packages is used, in the installed versions and over a
replica. One that does not work as the page says ends the program; else what each did goes to
docs/measured/names.json, with the versions and the day, and the page shows those.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import inspect
import ipaddress
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measured import FOLDER, conditions, write
from benchmarks.peers.contenders import MESSAGES, TOOL
from freeproviders import OpenAICompatible, Timeout
from freeproviders.testing import Replica, replica
from freeproviders.types import ToolCall

PAGE = FOLDER.parent / "coming-from.md"
PACKAGES = ("g4f", "langchain-openai", "litellm", "llama-index-llms-openai-like", "openai")
ANSWER = "Falling water."
CALL = ToolCall("call_1", "get_weather", {"city": "Paris"})
SAME = {"max_completion_tokens": "max_tokens"}
"""Keys of the protocol with two names."""
HEADERS = ("authorization", "openai-organization", "x-team")
"""What a row may be about; the others are the client's own name and the like."""


def rows(name: str) -> Iterator[list[str]]:
    """The cells of each row of a table of the page."""
    [table] = re.findall(rf"<!-- rows: {name} -->\n((?:\|.*\n)+)", PAGE.read_text(encoding="utf-8"))
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def codes(cell: str) -> list[str]:
    """The pieces of code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def keywords(cell: str, url: str) -> dict[str, Any]:
    """The keywords that a cell writes."""
    return eval(f"dict({' '.join(codes(cell))})", {"URL": url, "Timeout": Timeout})  # noqa: S307 - our own page


def only_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse other hosts, which some packages ask as they like: for prices, lists and newer versions."""
    host = arguments[0] if event == "socket.getaddrinfo" else None
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if host in {None, "localhost"}:
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    raise OSError(f"{host} is not asked here.")


# --- classes whose arguments the page translates ----------------------------------------------------


def chat_openai(**given: Any) -> Callable[[], Any]:
    from langchain_openai import ChatOpenAI

    return partial(ChatOpenAI(**given).invoke, "Hello")


def ours_in_langchain(**given: Any) -> Callable[[], Any]:
    from langchain_freeproviders import ChatOpenAICompatible

    return partial(ChatOpenAICompatible(**given).invoke, "Hello")


def openai_like(**given: Any) -> Callable[[], Any]:
    from llama_index.llms.openai_like import OpenAILike

    if ignored := given.keys() - set(OpenAILike.model_fields) - parameters(OpenAILike):
        raise TypeError(f"it says nothing of {ignored} and ignores it")  # any keyword is taken in silence
    return partial(OpenAILike(**{"is_chat_model": True, **given}).complete, "Hello")


def ours_in_llamaindex(**given: Any) -> Callable[[], Any]:
    from llama_index_freeproviders import OpenAICompatible as Ours

    return partial(Ours(**given).complete, "Hello")


def parameters(cls: type) -> set[str]:
    """The keywords that the constructors of a class and of its bases name."""
    every = (base.__dict__.get("__init__") for base in cls.__mro__)
    return {name for one in every if one for name in inspect.signature(one).parameters}


CLASSES = {
    "ChatOpenAICompatible": (chat_openai, ours_in_langchain, "base_url"),
    "OpenAICompatible": (openai_like, ours_in_llamaindex, "api_base"),
}
"""By table: the class of another package, ours in its place, and what theirs calls the address."""
INSTEAD = {"model_name": "model", "openai_api_key": "api_key", "openai_api_base": "base_url"}
"""Second names: a row with one is tried without the first."""


def sent(model: Callable[[], Any], server: Replica) -> dict[str, Any]:
    """The keys of the request that a model sends, and those of its headers that a row may be about."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model()
    request = server.requests[-1]
    body = {SAME.get(key, key): value for key, value in request.json.items() if key != "messages"}
    headers = {name.lower(): value for name, value in request.headers.items()}
    return body | {f"{name}:": headers[name] for name in HEADERS if name in headers}


def more(make: Callable[..., Any], usual: dict[str, Any], told: dict[str, Any], server: Replica) -> Any:
    """What the request has beside that of a model that was not told so."""
    plain = sent(make(**usual), server)
    first = {INSTEAD.get(name) for name in told}
    seen = sent(make(**({name: one for name, one in usual.items() if name not in first} | told)), server)
    return {key: one for key, one in seen.items() if plain.get(key) != one}


def of_arguments(table: str) -> dict[str, str]:
    """What each argument of a class of another package sends, and ours where it sends something else."""
    theirs, ours, address = CLASSES[table]
    found = {}
    for cell, other, as_it_stands in rows(table):
        with replica(OpenAICompatible, ANSWER, extra_keys=["top_k", "user"]) as server:
            url, usual = server.base_url, {"model": "some-model", "api_key": "key"}
            told = keywords(cell, url)
            if as_it_stands == "no":
                try:
                    theirs(**{**usual, address: url, **made_real(told)})
                    found[cell] = "is taken"
                except ImportError as error:  # a tokenizer by its name
                    found[cell] = f"is taken with another package: {error}".partition(".")[0]
                continue
            one = more(theirs, {**usual, address: url}, told, server)
            two = more(ours, {**usual, "base_url": url}, keywords(other, url), server)
            found[cell] = f"sends {json.dumps(one)}" if one else "is taken"
            found[cell] += "" if one == two else f", ours sends {json.dumps(two)}"
    return found


def untold() -> dict[str, str]:
    """What each class sends that was told nothing but the model and the address."""
    found = {}
    with replica(OpenAICompatible, ANSWER) as server:
        for theirs, ours, address in CLASSES.values():
            for one, where in ((theirs, address), (ours, "base_url")):
                body = sent(one(model="some-model", api_key="key", **{where: server.base_url}), server)
                beside = {key: value for key, value in body.items() if key not in {"model", "authorization:"}}
                found[one.__name__] = f"sends {json.dumps(beside)}"
    return found


def made_real(told: dict[str, Any]) -> dict[str, Any]:
    """The keywords, with a client of HTTP where the page writes just any object."""
    import httpx

    return {name: httpx.Client() if name == "http_client" else one for name, one in told.items()}


# --- answers and errors -----------------------------------------------------------------------------


def clients(url: str) -> dict[str, Callable[..., Any]]:
    """The function of each package that asks a question and gives OpenAI's objects."""
    import litellm
    import openai
    from g4f.client import Client
    from g4f.client.factory import create_custom_provider

    at = {"api_base": url, "api_key": "k", "num_retries": 0}
    return {
        "openai": openai.OpenAI(base_url=url, api_key="k", max_retries=0).chat.completions.create,
        "LiteLLM": lambda model, **more: litellm.completion(f"openai/{model}", **at, **more),
        "gpt4free": Client(provider=create_custom_provider(url, "k"), api_key="k").chat.completions.create,
    }


def of_answers() -> dict[str, str]:
    """What each expression gives, which must be the same in the answers of all packages."""
    found: dict[str, str] = {}
    for said, tools in ((ANSWER, {}), ([CALL], {"tools": [TOOL]})):
        with replica(OpenAICompatible, said) as server:
            for name, ask in clients(server.base_url).items():
                names = {"response": ask(model="m", messages=MESSAGES, **tools), "json": json}
                for cell, _ in rows("answers"):
                    if ("tool_calls" in cell) is bool(tools):
                        value = json.dumps(eval(codes(cell)[0], names))  # noqa: S307 - our own page
                        if found.setdefault(cell, value) != value:
                            raise ValueError(f"{cell} of {name} is {value}, not {found[cell]}.")
    return found


def of_errors() -> dict[str, str]:
    """What openai and LiteLLM raise; LiteLLM has the names, and goes by the error's words as well."""
    import litellm

    found = {}
    for what, cell, _ in rows("errors"):
        fault = {"status": int(what)} if what.isdigit() else {"drop": True}
        fault = {"stall": 0} if "time" in what else fault
        raised = {}
        with replica(OpenAICompatible, ANSWER, faults=fault) as server:
            for name in ("openai", "LiteLLM"):
                try:
                    clients(server.base_url)[name](model="m", messages=MESSAGES, timeout=1)
                except Exception as error:  # noqa: BLE001 - which one is the question
                    raised[name] = type(error).__name__
        [named] = codes(cell)
        if raised["openai"] != named or not hasattr(litellm, "Timeout" if "Timeout" in named else named):
            raise ValueError(f"{what}: {raised}")
        found[what] = f"openai raises {raised['openai']}, LiteLLM {raised['LiteLLM']}"
    return found


# --- whole calls ------------------------------------------------------------------------------------

LITELLM = (
    "Router",
    "acompletion",
    "completion",
    "embedding",
    "get_valid_models",
    "supports_function_calling",
    "token_counter",
)
"""The names of LiteLLM that the page uses as they stand."""


def of_litellm() -> dict[str, str]:
    """Runs each call, with what the page leaves out filled in, and `openai` in place of the services.

    The replica does not send `service_tier`, without which LiteLLM takes no answer for Groq's.
    """
    import litellm

    if not {"groq", "mistral"} <= {str(getattr(one, "value", one)) for one in litellm.provider_list}:
        raise ValueError("LiteLLM has no groq or no mistral.")
    found = {}
    with replica(OpenAICompatible, ANSWER) as server:
        os.environ |= {"OPENAI_API_KEY": "k", "OPENAI_API_BASE": server.base_url}
        deployment = {"model_name": "m", "litellm_params": {"model": "openai/m", "rpm": 30}}
        names = {
            **{name: getattr(litellm, name) for name in LITELLM},
            "URL": server.base_url,
            "deployments": [deployment],
            "messages": MESSAGES,
            "model": "gpt-4o",
            "text": "What is thunder?",
            "texts": ["a cat", "a dog"],
            "tools": [TOOL],
        }
        for cell, _ in rows("LiteLLM"):
            code = filled(codes(cell)[0])
            if unknown := keywords_of(code) - taken_by_litellm():
                raise ValueError(f"LiteLLM does not know {unknown}, which it takes and ignores.")
            value = eval(code.removeprefix("await "), names)  # noqa: S307 - our own page
            found[cell] = told(asyncio.run(value) if inspect.iscoroutine(value) else value)
    return found


def keywords_of(code: str) -> set[str]:
    """The names of the keywords in a call."""
    return {one.arg for one in ast.walk(ast.parse(code)) if isinstance(one, ast.keyword) and one.arg}


def taken_by_litellm() -> set[str]:
    """What LiteLLM has a use for: its functions take any keyword."""
    import litellm
    from litellm.types.utils import all_litellm_params

    every = (litellm.completion, litellm.embedding, litellm.utils.get_optional_params)
    named = {name for one in every for name in inspect.signature(one).parameters}
    return named | set(all_litellm_params) | parameters(litellm.Router) | {"text"}


def filled(code: str) -> str:
    """A call with arguments in place of its dots."""
    for short, whole in {
        "groq/openai/": "openai/",
        "mistral/": "openai/",
        "completion(...": 'completion(model="openai/m", messages=messages',
        "openai/...": "openai/m",
        "[...]": "deployments",
        "redis_url=...": 'redis_url="redis://127.0.0.1:9/0"',
        ".create(...": '.create(model="m", messages=messages',
    }.items():
        code = code.replace(short, whole)
    return code


def told(value: Any) -> str:
    """What came of a call, in a few words."""
    if hasattr(value, "choices"):
        return f"answers {value.choices[0].message.content!r}"
    if inspect.isgenerator(value) or type(value).__name__ == "CustomStreamWrapper":
        text = "".join(chunk.choices[0].delta.content or "" for chunk in value if chunk.choices)
        return f"streams {text!r}"
    if isinstance(value, list | dict) and len(value) > 3:
        return f"a {type(value).__name__} of {len(value)}"
    if callable(value) or not isinstance(value, bool | int | str | list | dict):
        return f"is there: {getattr(value, '__name__', type(value).__name__)}"
    return repr(value)


def of_gpt4free() -> dict[str, str]:
    """Runs each call over a provider of our own, and looks up each name."""
    import g4f.client
    import g4f.errors
    from g4f.Provider import base_provider

    class Provider(base_provider.AsyncGeneratorProvider, base_provider.ProviderModelMixin):
        """A provider as one is written for gpt4free."""

        default_model = "m"

        @classmethod
        async def create_async_generator(cls, model: str, messages: Any, **more: Any) -> Any:
            yield ANSWER

    names = {
        **vars(g4f.errors),
        "A": Provider,
        "B": Provider,
        "Provider": Provider,
        "client": g4f.client.Client(provider=Provider),
        "g4f": g4f,
        "messages": MESSAGES,
        "model": "m",
    }
    found = {}
    for cell, _ in rows("gpt4free"):
        values = []
        for code in codes(cell):
            whole = filled(f"Provider{code}" if code[0] == "." else code)
            values.append(eval(whole, names))  # noqa: S307 - our own page
        found[cell] = ", ".join(map(told, values))
    return found


GONE = ("AIChatFree", "ChatgptFree", "FlowGpt", "FreeNetfly")
"""Providers that gpt4free once had and the page says it no longer has."""


def gone() -> list[str]:
    """Those of them that are still in none of gpt4free's modules."""
    import g4f.Provider

    return [name for name in GONE if name not in dir(g4f.Provider)]


def main() -> None:
    say = argparse.ArgumentParser(prog="python -m benchmarks.peers.names", description=__doc__)
    say.add_argument("--out", type=Path, default=FOLDER / "names.json")
    out = say.parse_args().out
    sys.addaudithook(only_this_machine)
    import g4f.debug
    import litellm

    g4f.debug.version_check = False  # it asks whether there is a newer version
    litellm.suppress_debug_info = True
    found = {
        **{table: of_arguments(table) for table in CLASSES},
        "told nothing": untold(),
        "answers": of_answers(),
        "errors": of_errors(),
        "LiteLLM": of_litellm(),
        "gpt4free": of_gpt4free(),
    }
    if gone() != list(GONE):
        raise ValueError(f"The page says that gpt4free has none of {GONE}.")
    for table, said in found.items():
        print(f"\n{table}", *(f"  {cell:60} {one}" for cell, one in said.items()), sep="\n")
    write(out, {"conditions": conditions(PACKAGES), "found": found})
    sys.stdout.flush()
    os._exit(0)  # clients that were made and not used complain at the end


if __name__ == "__main__":
    main()
