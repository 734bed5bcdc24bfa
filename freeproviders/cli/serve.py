"""`freeproviders serve`: any backend as an OpenAI-compatible endpoint."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from freeproviders.cli import choosing, options, rows, terminal
from freeproviders.cli.lookup import SLUGS, completing

if TYPE_CHECKING:
    from freeproviders.backend import Backend
    from freeproviders.consent import Privacy
    from freeproviders.embeddings.embedder import Embedder
    from freeproviders.gateway import GatewayServer, Limits
    from freeproviders.router.router import FreeProviders
    from freeproviders.types import OnBrokenStream

DEFAULT_PORT = 8800


def serve(
    members: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MEMBER]...",
            help='Members, in this order: "groq", "groq/openai/gpt-oss-120b", "ollama/llama3.2", '
            '"embedded". Default: what is free for you.',
            show_default=False,
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            "-p",
            help="One provider answers: see `freeproviders providers`.",
            autocompletion=completing(SLUGS),
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            help="One service of the catalogue answers: see `freeproviders catalogue`.",
            autocompletion=rows.ids,
        ),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Where the provider or service is.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Its model, or a GGUF file of the embedded engine.")
    ] = None,
    privacy: Annotated[
        Literal["local", "no-training", "any"] | None,
        typer.Option(help="Where prompts may go; no other service is asked."),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help='What makes vectors: "offline", a service as gemini or gemini/MODEL, or "none". Without it '
            "the offline vectors, where their package is installed.",
            show_default=False,
        ),
    ] = None,
    dimensions: Annotated[
        int | None, typer.Option(min=1, help="Numbers of a vector, where the model has several sizes.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 is any free port.")
    ] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen at; another than this machine's own needs a key.")
    ] = "127.0.0.1",
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="FREEPROVIDERS_SERVE_KEY",
            help="The key that clients must send. Other processes can see it here, not in the environment.",
            show_default=False,
            show_envvar=True,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name by which clients call this machine.", show_default=False),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A page of a browser that may ask, as https://chat.example: no other may.",
            show_default=False,
        ),
    ] = None,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Requests answered at the same time (1024).", show_default=False)
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Requests a minute (6000 on this machine alone, else 600); 0 is no limit.",
            show_default=False,
        ),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that answers may take to end after Ctrl-C.")
    ] = 30.0,
    on_broken_stream: Annotated[
        Literal["raise", "continue", "restart"] | None,
        typer.Option(
            help="What becomes of an answer that breaks off after its first words: raise is an error; "
            "with continue another member goes on, where its words surely fit; with restart another one "
            "begins anew where they do not, which only whole answers allow.",
            show_default="raise",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no line for each request.")] = False,
    verbose: Annotated[int, options.verbose()] = 0,
) -> None:
    """Serve an OpenAI-compatible endpoint, with tools and typed answers on every model.

    Programs that speak to OpenAI take the printed address as their base URL, and "auto" as the
    model. Without a name, it serves what is free for you: see `freeproviders services`. Only programs
    of this machine can ask, unless --host says otherwise. Standard error has a line for each
    request, without a word of it.

    The service's own key comes from the environment, as GROQ_API_KEY.
    """
    import asyncio

    from freeproviders.addresses import is_loopback_host
    from freeproviders.gateway.guard import Guard

    Guard(host, api_key, origins=allow_origin or ())
    terminal.log(verbose)
    local = is_loopback_host(host)
    configuration = {"service": service, "base_url": base_url}
    one = choosing.named(provider, service, model)
    single = {"--provider": provider, "--service": service, "--base-url": base_url, "--model": model}
    for option, given in single.items():
        if members and given is not None:
            raise typer.BadParameter("It cannot go with names of members.", param_hint=option)
    named = next((option for option, given in single.items() if given is not None), None)
    for option, of_router in (("--privacy", privacy), ("--on-broken-stream", on_broken_stream)):
        if of_router is not None and named:
            raise typer.BadParameter(f"It cannot go with {named}, which names a backend.", param_hint=option)
    backend = (
        choosing.backend(one, model, None, configuration)
        if one or model or base_url
        else _router(
            members or [], privacy or (None if members or local else "local"), on_broken_stream or "raise"
        )
    )
    limits = _limits(at_once, rate, grace)
    embedder = _embedder(embeddings, dimensions)
    choosing.make_ready(backend)
    try:
        asyncio.run(
            _serve(
                backend,
                port,
                quiet=quiet,
                embedder=embedder,
                host=host,
                api_key=api_key,
                hosts=allow_host or (),
                origins=allow_origin or (),
                limits=limits,
            )
        )
    except OSError as error:
        terminal.complain(
            OSError(
                f"Port {port} of {host} cannot be used ({error.strerror or error}): "
                "choose another --port, or 0 for any."
            )
        )
        raise typer.Exit(1) from None


def _router(members: list[str], privacy: Privacy | None, on_broken_stream: OnBrokenStream) -> FreeProviders:
    from freeproviders.cli.routed import router

    return router(None, None, members=members, privacy=privacy, on_broken_stream=on_broken_stream)


def _limits(at_once: int | None, rate: int | None, grace: float) -> Limits:
    from freeproviders.gateway import Limits

    given: dict[str, Any] = {"at_once": at_once, "per_minute": rate, "grace_seconds": grace}
    return Limits(**{name: value for name, value in given.items() if value is not None})


def _embedder(name: str | None, dimensions: int | None) -> Embedder | None:
    """Make the embedder of a name, None for "none"."""
    if dimensions is not None and (name is None or name in {"none", "offline"}):
        raise typer.BadParameter(
            "It is for a service: name one with --embeddings.", param_hint="--dimensions"
        )
    if name == "none":
        return None
    if name is None:
        from freeproviders.gateway.server import default_embedder

        return default_embedder()
    if name == "offline":
        from freeproviders.embeddings import OfflineEmbedder

        return OfflineEmbedder()
    from freeproviders.embeddings import OpenAICompatibleEmbedder

    service, _, model = name.partition("/")
    return OpenAICompatibleEmbedder(model or None, service=service, size=dimensions)


async def _serve(backend: Backend, port: int, *, quiet: bool, **given: Any) -> None:
    """Serve until a signal comes, then let answers end; a second signal cuts them off."""
    import asyncio

    from freeproviders.gateway import GatewayServer
    from freeproviders.gateway.server import ACCESS

    server = GatewayServer(backend, **given)
    if not quiet:
        ACCESS.setLevel(logging.INFO)
        ACCESS.propagate = False
        ACCESS.addHandler(_Lines())
    signals: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows, where Ctrl-C cancels this task
            loop.add_signal_handler(number, signals.put_nowait, None)
    port = await server.start(port)
    stopping: asyncio.Task[None] | None = None
    try:
        await _introduce(server, port)
        await signals.get()
        terminal.say("Ending: answers may end, new requests are refused. Again to cut them off.")
        stopping = asyncio.create_task(server.stop())
        again = asyncio.create_task(signals.get())
        await asyncio.wait([stopping, again], return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
    finally:
        if stopping is not None and not stopping.done():
            stopping.cancel()
            await asyncio.wait([stopping])
        await server.stop(0)


async def _introduce(server: GatewayServer, port: int) -> None:
    """Say where the endpoint is, what it serves, and where prompts go."""
    from freeproviders import FreeProviders
    from freeproviders.listening import name_of, name_outside

    served = server.served
    url = f"http://{name_of(server.host)}:{port}/v1"
    terminal.say("Ctrl-C ends it.")  # first: a user who sees the address may press it at once
    typer.echo(f"Serving {url}", err=True)
    outside = name_outside(server.host)
    if outside and outside != name_of(server.host):
        url = f"http://{outside}:{port}/v1"
        terminal.say(f"Other machines reach it at {url}.")
    key, use = (
        ("the key that was set", ", OPENAI_API_KEY=that key") if server.guard.wants_key else ("any key", "")
    )
    for model in await served.models():
        what = "" if model.kind == "chat" else f" ({model.kind})"
        terminal.say(f"Model {model.id}{what}")
    if isinstance(served.backend, FreeProviders):
        here = {member.name: member.place in {"local", "embedded"} for member in served.backend.members}
    else:
        here = {served.backend.name: _is_here(served.backend)}
    away = [name for name, is_here in here.items() if not is_here]
    if away:
        terminal.say(f"Prompts leave this machine for: {', '.join(away)}.")
    else:
        terminal.say("Prompts stay on this machine.")
    terminal.say(f"Clients send {key}. Ask as: OPENAI_BASE_URL={url}{use}, model auto.")


def _is_here(backend: Backend) -> bool:
    from freeproviders.addresses import is_loopback

    return backend.slug == choosing.EMBEDDED or is_loopback(backend.base_url)


class _Lines(logging.Handler):
    """Writes each line of the log on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        terminal.say(f"{self.format(record)}")
