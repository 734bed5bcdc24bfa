from langchain.agents import create_agent
from langchain_core.tools import tool

from freeproviders import Embedded, FlowGpt
from freeproviders.testing import replica
from langchain_freeproviders import ChatFlowGpt


@tool
def opening_hours(day: str) -> str:
    """Tell when the shop is open on a day of the week."""
    return "closed" if day.lower().startswith("sun") else "9:00 to 18:30"


# A service that takes text and gives text; a model of 0.5 billion parameters speaks behind it.
with replica(FlowGpt, answer=Embedded("qwen2.5-coder-0.5b")) as server:
    model = ChatFlowGpt(base_url=server.base_url, allow_repeats=False)
    agent = create_agent(model, [opening_hours])
    question = {"messages": [("user", "Is the shop open on Sunday? Look it up.")]}
    for message in agent.invoke(question)["messages"]:
        calls = [f"{call['name']}({call['args']})" for call in getattr(message, "tool_calls", [])]
        print(f"{message.type:>5}: {message.text or ', '.join(calls)}")
