"""Tool calls and structured output on models that have neither, and on those that have.

`answer` takes any request and streams its answer; `stream_structured` and `complete_structured` answer with an object. The rest are its pieces: the parser, the judge, the prompts.
"""

from freeproviders.tools.cursor import RawCall
from freeproviders.tools.engine import answer, failed_generation
from freeproviders.tools.judge import Complaint, Judge
from freeproviders.tools.parser import Parser
from freeproviders.tools.prompt import ToolPrompt
from freeproviders.tools.structured import Draft, Structured, complete_structured, stream_structured
from freeproviders.tools.target import Misfit, Target
from freeproviders.tools.toolbox import Toolbox

__all__ = [
    "Complaint",
    "Draft",
    "Judge",
    "Misfit",
    "Parser",
    "RawCall",
    "Structured",
    "Target",
    "ToolPrompt",
    "Toolbox",
    "answer",
    "complete_structured",
    "failed_generation",
    "stream_structured",
]
