"""ReAct for models that do not keep to the format.

Bold or fenced labels, a tool's name in backticks, an answer without a thought: LlamaIndex's own
parser turns each of these into another turn, or into a loop. `TolerantReActAgent` is LlamaIndex's
agent with the parser of this module.
"""

from __future__ import annotations

import re
from typing import Any, Final

from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.agent.react.types import ActionReasoningStep, BaseReasoningStep, ResponseReasoningStep
from llama_index.core.agent.workflow import AgentOutput, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from llama_index.core.memory import BaseMemory
from llama_index.core.workflow import Context
from pydantic import Field

from freeproviders.tools.read.lenient import read_json

IMPLICIT: Final = "(Implicit) I can answer without any more tools!"

_LABEL: Final = re.compile(
    r"^[ \t>#\-]*(?P<open>[*_`]*)(?P<label>thought|action[ _]input|action|observation|(?:final[ _])?answer)"
    r"[ \t]*(?P<closed>[*_`]*)[ \t]*[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)
_CLOSING: Final = re.compile(r"[ \t]*[*_`]+")
_THINKING: Final = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)[\w+-]*[ \t]*$", re.MULTILINE)
_NO_ACTION: Final = re.compile(r"\W*(?:none|null|n/a)(?!\w|[-.]\w)", re.IGNORECASE)
_TOOL: Final = re.compile(r"[\w.\-\[\]]+")


class TolerantReActOutputParser(ReActOutputParser):
    """Reads a turn of a ReAct agent, strict or not.

    A turn with an action is that action, whatever the model imagines after it, and "none" is no
    action; an answer needs no thought before it; a text without any label is the answer. Raises
    `ValueError`, on which the agent asks again, when there is a thought and nothing else.
    """

    def parse(self, output: str, is_streaming: bool = False) -> BaseReasoningStep:
        """Read one turn."""
        text = _THINKING.sub("", output).strip()
        sections = _sections(text)
        if not sections:
            return ResponseReasoningStep(
                thought=IMPLICIT, response=_unfenced(text), is_streaming=is_streaming
            )
        thought = sections.get("thought", "")
        if action := _tool_name(sections.get("action", "")):
            return ActionReasoningStep(
                thought=thought or sections.get("", ""), action=action, action_input=_arguments(sections)
            )
        if "answer" in sections:
            return ResponseReasoningStep(
                thought=thought or IMPLICIT, response=sections["answer"], is_streaming=is_streaming
            )
        raise ValueError(f"Could not parse output: {output}")


class TolerantReActAgent(ReActAgent):
    """LlamaIndex's `ReActAgent` with the tolerant parser; answers come without label or markup.

    Examples:
        ```python
        import asyncio

        from freeproviders.testing import replica
        from llama_index_freeproviders import FlowGpt, TolerantReActAgent


        def add(a: int, b: int) -> int:
            '''Add two numbers.'''
            return a + b


        async def main() -> None:
            async with replica("flow-gpt", answer="**Answer:** It is 42.") as server:
                llm = FlowGpt(base_url=server.base_url, function_calling="off")
                print(await TolerantReActAgent(tools=[add], llm=llm).run("What is 20 + 22?"))


        asyncio.run(main())
        ```
    """

    output_parser: ReActOutputParser = Field(
        default_factory=TolerantReActOutputParser, description="The react output parser"
    )

    async def finalize(self, ctx: Context, output: AgentOutput, memory: BaseMemory) -> AgentOutput:
        """Close the run; the final message is the answer as it was parsed."""
        reasoning = await ctx.store.get(self.reasoning_key, default=[])
        output = await super().finalize(ctx, output, memory)
        if reasoning and isinstance(reasoning[-1], ResponseReasoningStep):
            others = [block for block in output.response.blocks if not isinstance(block, TextBlock)]
            blocks = [*others, TextBlock(text=reasoning[-1].response)]
            output.response = ChatMessage(
                role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=output.response.additional_kwargs
            )
        return output


def _sections(text: str) -> dict[str, str]:
    """The first text under each label, up to the first action's input or the answer.

    What comes before all labels is under "".
    """
    labels = list(_LABEL.finditer(text))
    sections: dict[str, str] = {}
    if labels and (before := _unfenced(text[: labels[0].start()])):
        sections[""] = before
    for at, match in enumerate(labels):
        label = match["label"].lower().replace("_", " ").removeprefix("final ")
        if label == "observation":
            break  # the model imagines what the tool would say
        if label == "answer":
            if "action" not in sections:
                sections["answer"] = _unfenced(text[_end(match) :])
            break
        if label in sections:
            if label == "action":
                break  # a second action waits for the first one's result
            continue
        end = labels[at + 1].start() if at + 1 < len(labels) else len(text)
        said = _unfenced(text[_end(match) : end])
        if (label == "action" and _NO_ACTION.match(said)) or (
            label == "action input" and "action" not in sections
        ):
            continue  # "Action: None" before an answer
        sections[label] = said
    return sections if sections.keys() - {""} else {}


def _end(label: re.Match[str]) -> int:
    """Return where the text behind a label begins.

    Emphasis that was opened before the label may close behind the colon.
    """
    closing = _CLOSING.match(label.string, label.end()) if label["open"] and not label["closed"] else None
    return closing.end() if closing else label.end()


def _tool_name(text: str) -> str:
    found = _TOOL.search(text)
    return found.group().strip(".-") if found else ""


def _arguments(sections: dict[str, str]) -> dict[str, Any]:
    """Read an action's input as an object; a bare value is kept under `input`, nothing is {}."""
    text = sections.get("action input", "").strip().strip("`").strip()
    if not text:
        inline = sections["action"].partition("(")[2].rpartition(")")[0]  # tool({"a": 1})
        text = inline.strip()
    if not text or text.lower() in {"none", "null", "n/a"}:
        return {}
    start = text.find("{")
    if start >= 0:
        try:
            value = read_json(_balanced(text[start:]))
        except ValueError:
            value = None
        if isinstance(value, dict):
            return value
    return {"input": text.strip("\"'")}


def _balanced(text: str) -> str:
    """The text up to where its first bracket closes, all of it where it never does."""
    depth, quoted, escaped = 0, "", False
    for at, char in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == quoted:
                quoted = ""
        elif char == '"':
            quoted = char
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if not depth:
                return text[: at + 1]
    return text


def _unfenced(text: str) -> str:
    """A section without the fences and emphasis that were opened around the whole turn.

    A block of code within an answer stays.
    """
    text = text.strip()
    fences = _FENCE.findall(text)
    if len(fences) == 1 or (
        len(fences) == 2 and text.startswith(("```", "~~~")) and text.endswith(("```", "~~~"))
    ):
        text = _FENCE.sub("", text)
    return text.strip().removesuffix("**").strip() if text.count("**") % 2 else text.strip()
