"""Conversations with tools as the turns of a plain chat protocol: system, user, assistant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from freeproviders.tools.fence import Fence
from freeproviders.tools.prompt import ToolPrompt, fill, markup_in, texts_of
from freeproviders.tools.read.dialects.dialect import Dialect
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Block, Message, TextBlock, ToolCall


def has_tool_turns(messages: Iterable[Message]) -> bool:
    """Return whether there are calls or results in a conversation."""
    for message in messages:  # noqa: SIM110 - a generator would cost more than the loop
        if message.tool_calls or message.role == "tool":
            return True
    return False


def fold(
    messages: Sequence[Message],
    prompt: ToolPrompt,
    dialect: Dialect | None,
    fence: Fence,
    instructions: str = "",
    *,
    obeys_system: bool = True,
) -> tuple[Message, ...]:
    """Write calls as markup and results as user turns; add instructions to the system's words.

    Without a dialect, nothing of the markup is left that a model could take for an example: calls
    and their results are told together, in words.

    All texts get their `fence`, the system's own words as well: chains put documents there. Results
    of parallel calls share a turn with each other and with the user's words that follow them. A
    system message after the first turn becomes a note in a user turn. `obeys_system` False puts the
    instructions into the first user turn.
    """
    start, head = 0, []
    while start < len(messages) and messages[start].role == "system":
        if text := messages[start].text:
            head.append(fence(text))
        start += 1
    if instructions and obeys_system:
        head.append(instructions)
    turns = _Turns(prompt, dialect, fence)
    for message in messages[start:]:
        turns.add(message)
    folded = turns.done
    if instructions and not obeys_system:
        _lead(folded, instructions)
    return tuple([Message("system", "\n\n".join(head)), *folded] if head else folded)


def with_instructions(
    messages: Sequence[Message], instructions: str, *, obeys_system: bool = True
) -> tuple[Message, ...]:
    """Add instructions to the system's own words, or to the first user turn; leave the rest."""
    at = next((at for at, message in enumerate(messages) if message.role == "system"), None)
    if not obeys_system:
        turns = list(messages)
        _lead(turns, instructions)
        return tuple(turns)
    if at is None:
        return (Message("system", instructions), *messages)
    system = Message("system", "\n\n".join(text for text in (messages[at].text, instructions) if text))
    return (*messages[:at], system, *messages[at + 1 :])


def with_reminder(messages: Sequence[Message], reminder: str) -> tuple[Message, ...]:
    """Add a reminder behind the last words, which are the user's."""
    last = messages[-1]
    return (*messages[:-1], replace(last, content=_joined(last, Message("user", f"\n{reminder}"))))


def fence_of(messages: Sequence[Message], prompt: ToolPrompt, box: Toolbox | None = None) -> Fence:
    """Make the fence for the texts of a conversation and of the tools that it has."""
    pattern = markup_in(prompt)
    names = [message.name for message in messages if message.role == "tool" and message.name]
    apart = (*names, *texts_of(box, prompt)) if box else names
    return Fence(_texts(messages), box, apart=apart, pattern=pattern)


def _texts(messages: Iterable[Message]) -> Iterator[str]:
    """Yield the texts of a conversation in their order."""
    for message in messages:
        if message.role == "user" and not isinstance(message.content, str):
            yield from (block.text for block in message.content if isinstance(block, TextBlock))
        else:
            yield message.text


class _Turns:
    def __init__(self, prompt: ToolPrompt, dialect: Dialect | None, fence: Fence) -> None:
        self._prompt = prompt
        self._dialect = dialect
        self._fence = fence
        self._calls: dict[str, ToolCall] = {}
        self._open = False  # the last turn holds results or notes, and takes the user's words too
        self.done: list[Message] = []

    def add(self, message: Message) -> None:
        match message.role:
            case "assistant":
                turn = self._assistant(message)
                if turn.text or not message.tool_calls:
                    self.done.append(turn)
                    self._open = False
            case "tool":
                self._user(Message("user", _with_images(self._result(message), message)), ours=True)
            case "system":
                self._user(
                    Message("user", fill(self._prompt.note, content=self._fence(message.text))), ours=True
                )
            case _:
                fenced = _fenced(message, self._fence)
                same = fenced is message.content
                self._user(message if same else replace(message, content=fenced), ours=False)

    def _assistant(self, message: Message) -> Message:
        self._calls.update({call.id: call for call in message.tool_calls})
        text = self._fence(message.text)
        markup = (
            self._dialect.render(message.tool_calls)
            if message.tool_calls and self._dialect is not None
            else ""
        )
        return Message("assistant", "\n".join(piece for piece in (text, markup) if piece))

    def _result(self, message: Message) -> str:
        call = self._calls.get(message.tool_call_id or "")
        name = self._fence(message.name or (call.name if call else "") or "tool")
        name = " ".join(name.replace('"', "'").split())
        content = self._fence(message.text)
        if self._dialect is not None:
            return fill(
                self._prompt.failure if message.is_error else self._prompt.result, name=name, content=content
            )
        arguments = self._fence(
            ", ".join(f"{key}: {value}" for key, value in call.arguments.items()) if call else ""
        )
        return fill(self._prompt.told, name=name, arguments=arguments, content=content)

    def _user(self, message: Message, *, ours: bool) -> None:
        """Add a user turn; `ours` stands for a result or a note, and joins its neighbours."""
        last = self.done[-1] if self.done else None
        if last is not None and last.role == "user" and (self._open or ours):
            self.done[-1] = replace(last, content=_joined(last, message))
        else:
            self.done.append(message)
            self._open = False
        self._open = self._open or ours


def _fenced(message: Message, fence: Fence) -> str | tuple[Block, ...]:
    if isinstance(message.content, str):
        return fence(message.content)
    return tuple(
        [TextBlock(fence(block.text)) if isinstance(block, TextBlock) else block for block in message.content]
    )


def _with_images(text: str, message: Message) -> str | tuple[Block, ...]:
    return (TextBlock(text), *message.images) if message.images else text


def _joined(a: Message, b: Message) -> str | tuple[Block, ...]:
    if isinstance(a.content, str) and isinstance(b.content, str):
        return f"{a.content}\n{b.content}"
    return (*_blocks(a), *_blocks(b))


def _blocks(message: Message) -> tuple[Block, ...]:
    return (TextBlock(message.content),) if isinstance(message.content, str) else message.content


def _lead(turns: list[Message], instructions: str) -> None:
    """Put the instructions before the first words of the user."""
    for at, message in enumerate(turns):
        if message.role == "user":
            turns[at] = replace(message, content=_joined(Message("user", instructions + "\n"), message))
            return
    turns.insert(0, Message("user", instructions))
