"""`freeproviders chat`: one question, or a conversation."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freeproviders.cli import terminal
from freeproviders.cli.lookup import SLUGS, completing, provider_class

if TYPE_CHECKING:
    from freeproviders.provider import Provider
    from freeproviders.types import ChatRequest, Completion

INTERRUPTED_EXIT = 130
EMBEDDED = "embedded"


def chat(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(
            help='The question. A "-" at its end stands for standard input; left out in a pipe, that is the question.',
            show_default=False,
        ),
    ] = None,
    provider: Annotated[
        str,
        typer.Option(
            "--provider",
            "-p",
            help="Who answers: see `freeproviders providers`.",
            autocompletion=completing(SLUGS),
        ),
    ] = EMBEDDED,
    base_url: Annotated[
        str | None, typer.Option(help="Where the service is: a mirror, a self-hosted one, a replica.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="One of the provider's models; for the embedded provider also a GGUF file."
        ),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions to the model.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 for the likeliest words, higher for variety.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="FREEPROVIDERS_API_KEY",
            show_envvar=True,
            help="The service's key; better in the environment, where no process list shows it.",
        ),
    ] = None,
    proxy: Annotated[str | None, typer.Option(help="http://user:password@host:port")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for a whole answer.")] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object: text, reasoning, usage, finish, provider, model."
        ),
    ] = False,
) -> None:
    """Ask a question; without one, hold a conversation.

    The default provider is a small model that runs on this machine: it needs no key, and what is asked does not leave the machine.
    With another provider the conversation goes to that service.
    """
    text = _prompt(prompt)
    if text is not None and not text.strip():
        raise typer.BadParameter("The question is empty.", param_hint="PROMPT")
    if text is None and as_json:
        raise typer.BadParameter("It needs a question.", param_hint="--json")
    configuration = {"base_url": base_url, "api_key": api_key, "proxy": proxy, "timeout": timeout}
    given = {key: value for key, value in configuration.items() if value is not None}
    try:
        with _warnings_as_remarks():
            answering = _provider(provider, model, given)
            options: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
            if text is None:
                from freeproviders.cli.conversation import converse

                converse(answering, system, options)
                return
            import asyncio

            messages = [{"role": "system", "content": system}] if system else []
            request = answering.request([*messages, {"role": "user", "content": text}], **options)
            _print(asyncio.run(_ask(answering, request, show=not as_json)), as_json)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED_EXIT) from None


def _prompt(words: list[str] | None) -> str | None:
    """The question; None when somebody sits at the terminal and is to be asked for it.

    Standard input is read only when it is named, or is all there is: in a shell's loop it belongs to the loop.
    """
    if not words:
        return None if terminal.is_terminal(sys.stdin) else _standard_input()
    if words[-1] != "-":
        return " ".join(words)
    asked = " ".join(words[:-1])
    return f"{asked}\n\n{_standard_input()}" if asked else _standard_input()


def _standard_input() -> str:
    return sys.stdin.read() if sys.stdin is not None else ""


def _provider(name: str, model: str | None, given: dict[str, Any]) -> Provider:
    """Make the provider; the embedded one has its weights then."""
    cls = provider_class(name)
    if cls.slug != EMBEDDED:
        return cls(model, **given)
    from freeproviders.cli.weights import embedded

    for key in ("base_url", "proxy"):
        if key in given:
            raise typer.BadParameter(
                "The embedded model is on this machine: name another --provider.",
                param_hint=f"--{key.replace('_', '-')}",
            )
    given.pop("api_key", None)
    return embedded(model, given)


async def _ask(provider: Provider, request: ChatRequest, *, show: bool) -> Completion:
    from freeproviders.cli.answer import Answer

    return await Answer(show=show).read(provider.batches(request))


def _print(completion: Completion, as_json: bool) -> None:
    from freeproviders.cli import answer

    if as_json:
        typer.echo(json.dumps(answer.as_json(completion), ensure_ascii=False))
    else:
        answer.remark(completion)


@contextmanager
def _warnings_as_remarks() -> Iterator[None]:
    """What a service cannot take is said in one line, without the place in our code."""
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
