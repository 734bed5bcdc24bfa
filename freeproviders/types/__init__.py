"""Messages and requests, and the parts of the stream that answers them.

A stream is a sequence of small frozen parts::

    Text | Reasoning | Refusal | LogProbs | ToolCallDelta | ToolCall | InvalidToolCall ...  Usage  Finish

`Text`, `Reasoning` and `Refusal` come in pieces; a `ToolCall` is always whole; `Usage` comes at
most once and `Finish` exactly once, last. `LogProbs` and `ToolCallDelta` come only where the
request asks for them. Inside the package the parts travel in batches, a list for each network
read, because an `await` for each part would cost more than the part.
"""

from freeproviders.types.calls import (
    CALL_EXTRAS,
    NO_OBJECT,
    CallExtra,
    InvalidToolCall,
    ToolCall,
    extras_to_save,
    new_call_id,
    saved_extra,
)
from freeproviders.types.completion import (
    Alternative,
    Batch,
    Completion,
    Draft,
    Part,
    collect,
    joined_logprobs,
    parts_of,
)
from freeproviders.types.messages import (
    ROLES,
    AudioBlock,
    Block,
    FileBlock,
    ImageBlock,
    Message,
    Messages,
    Role,
    TextBlock,
    as_messages,
)
from freeproviders.types.parts import (
    Finish,
    FinishReason,
    LogProbs,
    Reasoning,
    Refusal,
    Text,
    ToolCallDelta,
    Usage,
)
from freeproviders.types.request import (
    MAX_REPAIRS,
    ChatRequest,
    FromClass,
    OnEmpty,
    OnInvalid,
    Prefill,
    ReasoningMode,
    Tool,
)
from freeproviders.types.trail import (
    Admitted,
    Asking,
    Attempt,
    Event,
    Left,
    Listener,
    OnBrokenStream,
    Seam,
    SeamKind,
)

__all__ = [
    "CALL_EXTRAS",
    "MAX_REPAIRS",
    "NO_OBJECT",
    "ROLES",
    "Admitted",
    "Alternative",
    "Asking",
    "Attempt",
    "AudioBlock",
    "Batch",
    "Block",
    "CallExtra",
    "ChatRequest",
    "Completion",
    "Draft",
    "Event",
    "FileBlock",
    "Finish",
    "FinishReason",
    "FromClass",
    "ImageBlock",
    "InvalidToolCall",
    "Left",
    "Listener",
    "LogProbs",
    "Message",
    "Messages",
    "OnBrokenStream",
    "OnEmpty",
    "OnInvalid",
    "Part",
    "Prefill",
    "Reasoning",
    "ReasoningMode",
    "Refusal",
    "Role",
    "Seam",
    "SeamKind",
    "Text",
    "TextBlock",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
    "as_messages",
    "collect",
    "extras_to_save",
    "joined_logprobs",
    "new_call_id",
    "parts_of",
    "saved_extra",
]
