"""`freeproviders chat`: one question, or a conversation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from freeproviders.cli import choosing, options, terminal
from freeproviders.cli.commands import INTERRUPTED_EXIT, examples, variables
from freeproviders.cli.options import QUESTION
from freeproviders.cli.remarks import warnings_as_remarks
from freeproviders.cli.schema_file import response_format

if TYPE_CHECKING:
    from freeproviders.backend import Backend
    from freeproviders.cli.attachments import Attachment
    from freeproviders.cli.history import LastConversation
    from freeproviders.types import ChatRequest, Completion

OUTPUT: Final = "Output"


@examples(
    'freeproviders chat "What is a waterfall?"',
    'git diff | freeproviders chat "Explain this:" -',
    'freeproviders chat --service groq -a notes.txt "Sum this up."',
    "freeproviders chat",
)
@variables(
    GROQ_API_KEY="A service's key: `freeproviders catalogue groq` names its variable.",
    FLOW_GPT_API_BASE="A provider's address; its proxy is in FLOW_GPT_PROXY.",
    FREEPROVIDERS_PROVIDER="The usual provider; likewise FREEPROVIDERS_SERVICE, _BASE_URL and _CHAT_MODEL.",
    FREEPROVIDERS_SYSTEM="The usual --system.",
    FREEPROVIDERS_HISTORY="0 keeps no questions; FREEPROVIDERS_ANSWERS: where --cache keeps answers.",
)
def chat(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUESTION",
            help='A "-" at its end stands for standard input, which is the question where none is given.',
            show_default=False,
        ),
    ] = None,
    provider: options.Provider = None,
    service: options.Service = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key: options.ApiKey = None,
    proxy: options.Proxy = None,
    system: options.System = None,
    attach: Annotated[
        list[Path] | None,
        typer.Option(
            "--attach",
            "-a",
            metavar="FILE",
            help="A picture, recording, PDF or text file for the question; may be given several times.",
            rich_help_panel=QUESTION,
        ),
    ] = None,
    going_on: Annotated[
        bool,
        typer.Option("--continue", "-c", help="Go on with the last conversation.", rich_help_panel=QUESTION),
    ] = False,
    temperature: options.Temperature = None,
    max_tokens: options.MaxTokens = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Until the whole answer must be there, with all retries.",
            rich_help_panel=QUESTION,
        ),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A JSON schema. The answer is printed as JSON that fits it, or the exit code is 1.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        options.as_json("Print one JSON object: text, reasoning, usage, finish, provider, model.", OUTPUT),
    ] = False,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache",
            help="Store the answer, and return it for the same question without sending a request.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    history: Annotated[
        bool | None,
        typer.Option(
            "--history/--no-history",
            help="Keep questions and the last conversation in a private folder, as usual, or not.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[int, options.verbose(OUTPUT)] = 0,
) -> None:
    """Ask a question; without one, hold a conversation.

    Without --provider or --service, the best model that is free for you answers: services whose
    keys are in the environment, then Ollama, and last a small model on this machine, which needs no
    key. Standard error says which one gets the question before it is sent; `freeproviders services`
    lists them all.
    """
    text = _prompt(prompt)
    if text is not None and not text.strip():
        raise typer.BadParameter("The question is empty.", param_hint="QUESTION")
    for option, given in (("--json", as_json), ("--schema", schema)):
        if text is None and given:
            raise typer.BadParameter("It needs a question.", param_hint=option)
    if timeout is not None and not timeout > 0:
        raise typer.BadParameter("It must be a number of seconds above 0.", param_hint="--timeout")
    form = None if schema is None else response_format(schema)
    files = _attachments(attach or [])
    terminal.log(verbose)
    try:
        with warnings_as_remarks():
            usual = choosing.Usual.of(provider, service, base_url, model, system)
            configuration = {
                "service": usual.service,
                "base_url": usual.base_url,
                "api_key": api_key,
                "proxy": proxy,
            }
            name = choosing.named(usual.provider, usual.service, usual.model)
            answering = choosing.backend(name, usual.model, timeout, configuration)
            _check_attachments(files, answering)
            if cache:
                answering = answering.cached()
            settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
            last, earlier = _last(history, asked=text is None, going_on=going_on)
            if text is None:
                choosing.make_ready(answering)
                from freeproviders.cli.conversation import Conversation
                from freeproviders.cli.history import Questions

                Conversation(
                    answering,
                    usual.system,
                    settings,
                    timeout,
                    earlier,
                    files,
                    last,
                    Questions(last.folder),
                ).hold()
                return
            import asyncio

            from freeproviders.checks import check_request
            from freeproviders.cli.attachments import content

            said = [*earlier, {"role": "user", "content": content(text, files)}]
            messages = [{"role": "system", "content": usual.system}] if usual.system else []
            shown = not as_json and form is None  # an object is no use before it is known to fit
            request = answering.request(
                [*messages, *said],
                response_format=form,
                stream=shown,  # of what is not shown, an answer that breaks off is asked for again
                **settings,
            )
            if name is None:
                from freeproviders.cli.routed import announced

                request = announced(request)
            check_request(request, answering.accepted_options)
            choosing.make_ready(answering)
            completion = asyncio.run(_ask(answering, request, timeout, show=shown))
            _print(completion, as_json=as_json, typed=form is not None)
            if completion.text:
                last.keep([*said, {"role": "assistant", "content": completion.text}])
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED_EXIT) from None


def _attachments(paths: list[Path]) -> list[Attachment]:
    """Read the files that go with the question."""
    if not paths:
        return []
    from freeproviders.cli.attachments import AttachmentError, attachment

    try:
        return [attachment(path) for path in paths]
    except AttachmentError as error:
        raise typer.BadParameter(str(error), param_hint="--attach") from None


def _check_attachments(files: list[Attachment], answering: Backend) -> None:
    """Raise a usage error where the backend takes no such files."""
    if not files:
        return
    from freeproviders.cli.attachments import AttachmentError, check

    try:
        check(files, answering)
    except AttachmentError as error:
        raise typer.BadParameter(str(error), param_hint="--attach") from None


def _last(
    wanted: bool | None, *, asked: bool, going_on: bool
) -> tuple[LastConversation, list[Mapping[str, Any]]]:
    """Return where the conversation is kept, and the messages to go on with.

    A question whose answer goes to a file or a pipe is a program's: it is not kept, unless it goes
    on with what was.
    """
    from freeproviders.cli.history import LastConversation, folder, is_wanted
    from freeproviders.private_file import FileError

    if not is_wanted(wanted):
        if going_on:
            raise typer.BadParameter("No conversation is kept with --no-history.", param_hint="--continue")
        return LastConversation(None), []
    if not (asked or going_on or terminal.is_terminal(sys.stdout)):
        return LastConversation(None), []
    try:
        last = LastConversation(folder())
    except FileError as error:
        terminal.say(f"Note: Nothing is kept of the conversation: {error}")
        last = LastConversation(None)
    earlier = last.messages() if going_on else []
    if going_on and not earlier:
        terminal.say("Note: There is no conversation to go on with; this is a new one.")
    return last, earlier


def _prompt(words: list[str] | None) -> str | None:
    """Put the question together; None where standard input is a terminal, which is then asked.

    Standard input is read only when it is named, or when there is nothing else: in a shell's loop
    it belongs to the loop.
    """
    if not words:
        return None if terminal.is_terminal(sys.stdin) else _standard_input()
    if words[-1] != "-":
        return _whole(" ".join(words))
    asked, given = _whole(" ".join(words[:-1])), _standard_input()
    if asked and not given.strip():
        raise typer.BadParameter("- stands for standard input, and that is empty.", param_hint="QUESTION")
    return f"{asked}\n\n{given}" if asked else given


def _whole(text: str) -> str:
    """Take out bytes that are no text, which Python keeps as halves of characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _standard_input() -> str:
    return sys.stdin.read() if sys.stdin is not None else ""


async def _ask(backend: Backend, request: ChatRequest, limit: float | None, *, show: bool) -> Completion:
    from freeproviders.cli.answer import AnswerDisplay

    return await AnswerDisplay(show=show).read(backend, request, limit)


def _print(completion: Completion, *, as_json: bool, typed: bool) -> None:
    from freeproviders.cli import answer

    if as_json:
        document = answer.as_json(completion)
        if typed:
            document["object"] = json.loads(completion.text)
        terminal.show_json(document)
        return
    if typed:
        typer.echo(terminal.printable_json(completion.text))
    answer.remark(completion)
