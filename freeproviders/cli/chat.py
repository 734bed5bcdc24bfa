"""`freeproviders chat`: one question, or a conversation."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freeproviders.cli import choosing, rows, terminal
from freeproviders.cli.lookup import SLUGS, completing

if TYPE_CHECKING:
    from freeproviders.backend import Backend
    from freeproviders.types import ChatRequest, Completion

INTERRUPTED_EXIT = 130


def chat(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUESTION",
            help='A "-" at its end stands for standard input, which is the question where none is given.',
            show_default=False,
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            "-p",
            help="Who answers: see `freeproviders providers`. Without it, whoever is free here.",
            show_default=False,
            autocompletion=completing(SLUGS),
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            help="A service of the OpenAI protocol by its id: see `freeproviders catalogue`.",
            autocompletion=rows.ids,
        ),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Where the service is: a mirror, a self-hosted one, a replica.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="One of the provider's models, or a GGUF file. Alone: one of the embedded models, or a "
            "service's, as groq/openai/gpt-oss-120b.",
        ),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions to the model.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 for the likeliest words, higher for variety.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(help="The service's key. Other processes can see it here: better in the environment."),
    ] = None,
    proxy: Annotated[str | None, typer.Option(help="http://user:password@host:port")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds until the whole answer must be there, with all retries.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A JSON schema. The answer is printed as JSON that fits it, or the exit code is 1.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object: text, reasoning, usage, finish, provider, model."
        ),
    ] = False,
) -> None:
    """Ask a question; without one, hold a conversation.

    Without a --provider or --service, whoever is free here answers: services whose keys are in the
    environment, Ollama, and last a small model on this machine, which needs no key. Standard error
    says who gets the question before it is sent, and `freeproviders services` who would.

    The environment may hold a service's key, address and proxy, as GROQ_API_KEY,
    FLOW_GPT_API_BASE, FLOW_GPT_PROXY.
    """
    text = _prompt(prompt)
    if text is not None and not text.strip():
        raise typer.BadParameter("The question is empty.", param_hint="QUESTION")
    for option, given in (("--json", as_json), ("--schema", schema)):
        if text is None and given:
            raise typer.BadParameter("It needs a question.", param_hint=option)
    if timeout is not None and not timeout > 0:
        raise typer.BadParameter("It must be a number of seconds above 0.", param_hint="--timeout")
    form = None if schema is None else _response_format(schema)
    try:
        with _warnings_as_remarks():
            configuration = {"service": service, "base_url": base_url, "api_key": api_key, "proxy": proxy}
            name = choosing.named(provider, service, model)
            answering = choosing.backend(name, model, timeout, configuration)
            settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
            if text is None:
                from freeproviders.cli.conversation import converse

                converse(answering, system, settings, timeout)
                return
            import asyncio

            messages = [{"role": "system", "content": system}] if system else []
            shown = not as_json and form is None  # an object is no use before it is known to fit
            request = answering.request(
                [*messages, {"role": "user", "content": text}],
                response_format=form,
                stream=shown,  # of what is not shown, an answer that breaks off is asked for again
                **settings,
            )
            if name is None:
                from freeproviders.cli.routed import announced

                request = announced(request)
            completion = asyncio.run(_ask(answering, request, timeout, show=shown))
            _print(completion, as_json=as_json, typed=form is not None)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED_EXIT) from None


def _prompt(words: list[str] | None) -> str | None:
    """Put the question together; None where standard input is a terminal, which is then asked.

    Standard input is read only when it is named, or when there is nothing else: in a shell's loop
    it belongs to the loop.
    """
    if not words:
        return None if terminal.is_terminal(sys.stdin) else _standard_input()
    if words[-1] != "-":
        return " ".join(words)
    asked = " ".join(words[:-1])
    return f"{asked}\n\n{_standard_input()}" if asked else _standard_input()


def _standard_input() -> str:
    return sys.stdin.read() if sys.stdin is not None else ""


def _response_format(path: Path) -> dict[str, Any]:
    """Read a file with a JSON schema as the setting of a request."""
    try:
        schema = json.loads(path.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}.", param_hint="--schema") from None
    if not isinstance(schema, dict):
        raise typer.BadParameter(f"{path} holds no JSON schema.", param_hint="--schema")
    return {"type": "json_schema", "json_schema": {"name": schema.get("title") or "answer", "schema": schema}}


async def _ask(backend: Backend, request: ChatRequest, limit: float | None, *, show: bool) -> Completion:
    from freeproviders.cli.answer import AnswerDisplay

    return await AnswerDisplay(show=show).read(backend, request, limit)


def _print(completion: Completion, *, as_json: bool, typed: bool) -> None:
    from freeproviders.cli import answer

    if as_json:
        document = answer.as_json(completion)
        if typed:
            document["object"] = json.loads(completion.text)
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    if typed:
        typer.echo(completion.text)
    answer.remark(completion)


@contextmanager
def _warnings_as_remarks() -> Iterator[None]:
    """Show warnings about unsupported settings as one line, without the place in our code."""
    from freeproviders.errors import UnsupportedOptionWarning

    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, UnsupportedOptionWarning):
                terminal.say(f"Note: {message}")
            else:
                usual(message, category, *where, **more)

        warnings.showwarning = show
        yield
