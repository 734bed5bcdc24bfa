"""The choice among tools, in the notations of OpenAI, Anthropic, LangChain and LlamaIndex."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from freeproviders.errors import UsageError
from freeproviders.naming import argument
from freeproviders.types import Tool

Choice = str | tuple[str, ...] | None
"""`ChatRequest.tool_choice`: None, "auto", "none", "required", a tool's name or several names."""

_WORDS: Final = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_ALLOWED: Final = "allowed_tools"


def read_choice(choice: object, names: Iterable[str]) -> Choice:
    """Read a choice among the tools of these names, in any notation.

    None, False and "" leave it to the model; True, "any" and "required" ask for a call. Names may
    stand alone, in a sequence, or in the mappings of OpenAI (also "allowed_tools") and Anthropic. A
    tool whose name is one of these words is chosen by a mapping, and is then returned as a tuple of
    one name.

    Whether there are tools at all is not looked at where no name is given. Raises `UsageError` for
    a name that is not among `names`, and for anything that is no choice.
    """
    known = tuple(names)
    if choice is None or choice is False or choice == "":
        return None
    if choice is True:
        return "required"
    if isinstance(choice, str):
        return _WORDS.get(choice) or _known(choice, known)
    if isinstance(choice, Mapping):
        return _of_mapping(choice, known)
    if isinstance(choice, Sequence) and not isinstance(choice, bytes | bytearray):
        return _several(choice, known)
    raise UsageError(
        f"{argument('tool_choice')} must be auto, none, required, a tool's name, several names or a "
        f"mapping with a name, "
        f"not {choice!r:.200}."
    )


def offered(choice: object, names: Iterable[str]) -> tuple[str, ...]:
    """Name the tools that stay on offer: all, unless OpenAI's "allowed_tools" restricts them.

    Raises `UsageError` as `read_choice` does.
    """
    known = tuple(names)
    if not isinstance(choice, Mapping) or choice.get("type") != _ALLOWED:
        return known
    among = set(_several(_allowed(choice).get("tools"), known))
    return tuple([name for name in known if name in among])


def narrowed(tools: Sequence[Tool], choice: object) -> tuple[tuple[Tool, ...], Choice]:
    """Return the tools that stay on offer, and the choice among them.

    Raises `UsageError` as `read_choice` does.
    """
    names = [tool.name for tool in tools]
    among = offered(choice, names)
    return tuple([tool for tool in tools if tool.name in among]), read_choice(choice, names)


def _of_mapping(choice: Mapping[Any, Any], known: tuple[str, ...]) -> Choice:
    kind = choice.get("type")
    if kind == _ALLOWED:
        allowed = _allowed(choice)
        among = _several(allowed.get("tools"), known)
        mode = allowed.get("mode", "auto")
        if mode not in {"auto", "required"}:
            raise UsageError(
                f"{argument('tool_choice')}: the mode of allowed_tools is auto or required, not "
                f"{mode!r:.200}."
            )
        return "auto" if mode == "auto" else among
    name = _name(choice)
    if name is None and isinstance(kind, str) and kind in _WORDS:
        return _WORDS[kind]
    if name is None:
        raise UsageError(f"{argument('tool_choice')} {choice!r:.200} names no tool.")
    name = _known(name, known)
    return (name,) if name in _WORDS else name


def _allowed(choice: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Find the tools and mode of "allowed_tools", one level deeper in chat completions."""
    inner = choice.get(_ALLOWED)
    return inner if isinstance(inner, Mapping) else choice


def _several(tools: object, known: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(tools, Sequence) or isinstance(tools, str | bytes | bytearray) or not tools:
        raise UsageError(
            f"{argument('tool_choice')} names no tool: it needs a list of at least one, not {tools!r:.200}."
        )
    found = [tool if isinstance(tool, str) else _name(tool) for tool in tools]
    for name, tool in zip(found, tools, strict=True):
        if name is None:
            raise UsageError(f"{argument('tool_choice')}: {tool!r:.200} names no tool.")
    return tuple(dict.fromkeys(_known(name, known) for name in found if name is not None))


def _name(tool: object) -> str | None:
    """The name in `{"name": ...}` or `{"function": {"name": ...}}`."""
    inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    return name if isinstance(name, str) else None


def _known(name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise UsageError(
            f"{argument('tool_choice')} {name!r:.200} names no tool of the request: use auto, none, "
            f"required or one of "
            f"{', '.join(known) or '(none)'}."
        )
    return name
