"""Scripted models that obey: they find the tools or the schema in the prompt and answer with values that fit.

The words around tools and schema are taken from `ToolPrompt`, so that another prompt changes
nothing here. `brain` is an `answer=` for a replica of any of the services. It sees what the service
sees: a list of turns, or one flattened prompt.

* After a tool's result it says what the result was.
* Where a call is required, or the user's words mention a tool (by a word of its name), it calls:
  every tool that is mentioned, each once.
* Where an object is asked for, it answers with one that fits the schema.
* Else it chats.

Values come from the user's words: quoted text, the first numbers, the last capitalised words; what
is not there is made up.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freeproviders.tools import ToolPrompt
from freeproviders.types import ToolCall, new_call_id

CHAT = "Hello there, friend! How are you?"

_CALLED = re.compile(r'(?:<tool_call>\s*|\[TOOL_CALLS\]\[|\}, )\{"name":\s*"([^"]+)"')
_TOOL_LINE = ('{"type":"function"', '{"name":"')
_FLAT_TURN = re.compile(r"^(?:System|User|Assistant|Tool):(?: |$)", re.MULTILINE)
_FIELD = re.compile(r"\{([a-z]+)\}")


def _like(template: str) -> re.Pattern[str]:
    """What a template looks like when it is filled."""
    pieces = _FIELD.split(template)
    return re.compile(
        "".join(f"(?P<{piece}>.*?)" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)),
        re.DOTALL,
    )


def _longest(template: str) -> str:
    """The longest piece of a template that is the same however it is filled."""
    return max(_FIELD.sub("\0", template).split("\0"), key=len).strip()


@dataclass(frozen=True)
class Markers:
    """The words by which a prompt's parts are known."""

    named: re.Pattern[str]
    required: str
    single: str
    results: tuple[re.Pattern[str], ...]
    note: re.Pattern[str]
    reminder: str
    schema: str
    any_object: str
    again: tuple[str, ...]

    @classmethod
    def of(cls, prompt: ToolPrompt) -> Markers:
        return cls(
            named=_like(prompt.named),
            required=prompt.required,
            single=prompt.single,
            results=(_like(prompt.result), _like(prompt.failure)),
            note=re.compile(re.escape(prompt.note.partition("{content}")[0]) + ".*", re.DOTALL),
            reminder=prompt.reminder,
            schema=prompt.schema.partition("{schema}")[0].strip(),
            any_object=prompt.any_object,
            again=tuple(_longest(text) for text in (prompt.complaint, prompt.no_call, prompt.misfit)),
        )


USUAL = Markers.of(ToolPrompt())


def brain(messages: Sequence[Mapping[str, Any]], markers: Markers = USUAL) -> str:
    """The answer of an obedient model to what a service was sent."""
    view = View(messages, markers)
    calls = [] if view.schema_first else _calls(view)
    if calls:
        return "\n".join(
            f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>" for call in calls
        )
    if view.schema is not None:
        return json.dumps(Filler(view.question, view.schema).value(view.schema), ensure_ascii=False)
    if view.any_object:
        return _some_object(view.question)
    if view.results:
        return "The tool says: " + " and ".join(view.results)
    return CHAT


def native_brain(messages: Sequence[Mapping[str, Any]], request: Any) -> str | list[Any]:
    """A scripted model for a service with tools and schemas of its own.

    It reads them from the request, and its calls are the protocol's.
    """
    body = request.json
    view = View([message for message in messages if message.get("role") != "tool"])
    tail = messages[
        max((at for at, message in enumerate(messages) if message.get("role") == "user"), default=0) :
    ]
    view.results = [_text(message) for message in tail if message.get("role") == "tool"]
    view.called = [call["function"]["name"] for message in tail for call in message.get("tool_calls") or ()]
    view.tools = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice")
    view.named = choice["function"]["name"] if isinstance(choice, Mapping) else None
    view.required = view.named is not None or choice == "required"
    calls = _calls(view)
    if calls:
        return [ToolCall(new_call_id(), call["name"], call["arguments"]) for call in calls]
    form = body.get("response_format") or {}
    schema = form["json_schema"]["schema"] if form.get("type") == "json_schema" else {}
    if schema.get("properties") or "$ref" in schema:
        return json.dumps(Filler(view.question, schema).value(schema), ensure_ascii=False)
    if form:
        return _some_object(view.question)
    return "The tool says: " + " and ".join(view.results) if view.results else CHAT


class Script:
    """Give the answers one after the other, whatever is asked, and the last one again and again.

    An answer that is callable is called with the messages.
    """

    def __init__(self, *answers: Any) -> None:
        self._answers = answers
        self._count = itertools.count()
        self._lock = threading.Lock()

    def __call__(self, messages: Sequence[Mapping[str, Any]]) -> Any:
        with self._lock:
            answer = self._answers[min(next(self._count), len(self._answers) - 1)]
        return answer(messages) if callable(answer) else answer


def call(name: str, /, **arguments: Any) -> str:
    """A call as the default dialect writes it, for scripts."""
    return (
        f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"
    )


class View:
    """What an obedient model notices in a prompt."""

    def __init__(self, messages: Sequence[Mapping[str, Any]], markers: Markers = USUAL) -> None:
        texts = [_text(message) for message in messages]
        self.whole = "\n".join(texts)
        turns = list(_turns(messages, texts))
        # What was asked: the user's last words that are neither a tool's result nor an instruction
        # of the engine's.
        asked = [_plain(text, markers) for role, text in turns if role in {"user", "human"}]
        self.question = next((text for text in reversed(asked) if text.strip()), "")
        tail = self.whole[self.whole.rfind(self.question) :] if self.question else self.whole
        found = [match for pattern in markers.results for match in pattern.finditer(tail)]
        self.results = [match["content"].strip() for match in sorted(found, key=re.Match.start)]
        self.tools = _tools_in(self.whole)
        self.called = _CALLED.findall(tail)
        named = next((match["name"] for match in markers.named.finditer(self.whole)), None)
        self.named = named
        self.required = named is not None or markers.required in self.whole
        self.single = markers.single in self.whole
        self.schema = _schema_in(self.whole, markers)
        self.any_object = markers.any_object in self.whole
        self.schema_first = self.schema is not None and not self.tools


def _some_object(question: str) -> str:
    """An object with the keys that the question puts in quotes."""
    return json.dumps({key: f"a {key}" for key in re.findall(r"'(\w+)'", question)} or {"answer": CHAT})


def _calls(view: View) -> list[dict[str, Any]]:
    by_name = {tool["name"]: tool for tool in view.tools}
    words = set(re.findall(r"[a-z0-9]+", view.question.lower()))
    mentioned = [
        tool
        for tool in view.tools
        if words & {word for word in re.split(r"[^a-z0-9]+", tool["name"].lower()) if len(word) > 2}
    ]
    open_ = [tool for tool in mentioned if tool["name"] not in view.called]
    if view.named in by_name:
        chosen = [by_name[view.named]]
    elif view.required:
        rest = [tool for tool in view.tools if tool["name"] not in view.called] or view.tools
        chosen = open_ or ([rest[-1]] if view.results else [rest[0]])
    else:
        chosen = [] if view.results else open_
    if view.single:
        chosen = chosen[:1]
    return [
        {
            "name": tool["name"],
            "arguments": Filler(view.question, tool["parameters"]).value(tool["parameters"]),
        }
        for tool in chosen
    ]


class Filler:
    """Makes a value that fits a JSON schema, out of the words of a question."""

    def __init__(self, question: str, root: Mapping[str, Any]) -> None:
        self._root = root
        self._quoted: Iterator[str] = iter(re.findall(r"(?<!\w)[\"']([^\"']+)[\"']", question))
        self._numbers = iter(re.findall(r"-?\d+(?:\.\d+)?", question))
        names = re.findall(r"(?<!^)(?<![.?!] )\b[A-Z]\w+(?: [A-Z]\w+)*(?:, [A-Z]{2}\b)?", question)
        self._names = iter([name for name in names if not name.isupper()][::-1])
        self._depth = 0

    def value(self, schema: Mapping[str, Any], name: str = "") -> Any:
        """A value for a schema; `name` is the property that it is for."""
        if "$ref" in schema:
            schema = self._resolved(schema["$ref"])
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                real = [one for one in schema[key] if one.get("type") != "null"]
                return self.value(real[0], name) if real else None
        if schema.get("allOf"):
            return self.value({key: value for one in schema["allOf"] for key, value in one.items()}, name)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
        return getattr(self, f"_{kind}")(schema, name)

    def _object(self, schema: Mapping[str, Any], name: str) -> dict[str, Any]:
        del name
        self._depth += 1
        properties = schema.get("properties") or {}
        wanted = schema.get("required", list(properties) if self._depth == 1 else [])
        value = {key: self.value(properties[key], key) for key in wanted if key in properties}
        self._depth -= 1
        return value

    def _array(self, schema: Mapping[str, Any], name: str) -> list[Any]:
        if schema.get("prefixItems"):
            return [self.value(one, name) for one in schema["prefixItems"]]
        deep = self._depth > 3
        return [
            self.value(schema.get("items") or {}, name)
            for _ in range(schema.get("minItems", 0 if deep else 1))
        ]

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        made_up = {
            "date": "2026-11-20",
            "date-time": "2026-11-20T10:00:00Z",
            "time": "10:00:00Z",
            "email": "ann@example.org",
            "uri": "https://example.org",
        }
        if schema.get("format") in made_up:
            return made_up[schema["format"]]
        text = next(self._quoted, None) or next(self._names, None) or f"a {name or 'word'}"
        return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]

    def _integer(self, schema: Mapping[str, Any], name: str) -> int:
        return int(self._number(schema, name))

    def _number(self, schema: Mapping[str, Any], name: str) -> float:
        del name
        number = float(next(self._numbers, 3))
        number = max(number, schema.get("minimum", number), schema.get("exclusiveMinimum", number - 1) + 1)
        return min(number, schema.get("maximum", number), schema.get("exclusiveMaximum", number + 1) - 1)

    def _boolean(self, schema: Mapping[str, Any], name: str) -> bool:
        del schema, name
        return True

    def _null(self, schema: Mapping[str, Any], name: str) -> None:
        del schema, name

    def _resolved(self, ref: str) -> Mapping[str, Any]:
        node: Any = self._root
        for key in ref.removeprefix("#/").split("/"):
            node = node[key.replace("~1", "/").replace("~0", "~")]
        return node  # type: ignore[no-any-return]


# --- reading the prompt ---------------------------------------------------------------------------


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content or () if isinstance(block, Mapping))


def _turns(messages: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Role and text of each turn, also of those that a protocol without history has put into one prompt."""
    for message, text in zip(messages, texts, strict=True):
        heads = list(_FLAT_TURN.finditer(text))
        if len(messages) > 1 or not heads or heads[0].start() != 0:
            yield str(message.get("role", "user")), text
            continue
        for head, after in itertools.pairwise([*heads, None]):
            yield head[0].rstrip(": ").lower(), text[head.end() : after.start() if after else None]


def _plain(text: str, markers: Markers) -> str:
    """A user's words without what the engine added: results, instructions, the system's message as a turn."""
    if _tools_in(text) or markers.schema in text or markers.any_object in text:
        return ""
    if any(words in text for words in markers.again):
        return ""
    for pattern in markers.results:
        text = pattern.sub("", text)
    return markers.note.sub("", text).strip().removesuffix(markers.reminder).strip()


def _tools_in(text: str) -> list[dict[str, Any]]:
    """The tools: each is a line of JSON, whatever stands around it, with a whole schema or in short."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith(_TOOL_LINE)]
    return [line.get("function") or {**line, "parameters": _schema_of(line["arguments"])} for line in lines]


def _schema_of(short: Any) -> dict[str, Any]:
    """The JSON schema that a tool's parameters in short stand for."""
    if isinstance(short, list):
        return {"type": "array", "items": _schema_of(short[0])}
    if isinstance(short, dict):
        return {
            "type": "object",
            "properties": {key.removesuffix("?"): _schema_of(part) for key, part in short.items()},
            "required": [key for key in short if not key.endswith("?")],
        }
    if short.startswith('"'):
        choices = re.match(r'"(?:[^"\\]|\\.)*"(?: or "(?:[^"\\]|\\.)*")*', short)
        return {"enum": json.loads("[" + choices[0].replace('" or "', '", "') + "]")} if choices else {}
    types, _, rest = short.partition(", ")
    limits = re.findall(
        r"(minimum|maximum|exclusiveMinimum|exclusiveMaximum|minLength|maxLength) (-?[\d.]+)", rest
    )
    form = re.match(r"format ([^,]+)", rest)
    return {
        "type": types.split(" or "),
        **{name: json.loads(value) for name, value in limits},
        **({"format": form[1]} if form else {}),
    }


def _schema_in(text: str, markers: Markers) -> dict[str, Any] | None:
    at = text.rfind(markers.schema)
    start = text.find("{", at) if at >= 0 else -1
    if start < 0:
        return None
    schema, _ = json.JSONDecoder().raw_decode(text[start:])
    return schema  # type: ignore[no-any-return]
