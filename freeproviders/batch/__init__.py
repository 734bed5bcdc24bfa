"""Many questions: each is asked once, its answer is stored before its row counts, and a run goes on.

::

    report = await batch(["What is a leap year?", "Why is the sky blue?"], FreeProviders())

The same line again asks only what has no answer yet. `answered` yields the rows as they end.
"""

from freeproviders.batch.cases import Judgement
from freeproviders.batch.chance import Share
from freeproviders.batch.compare import compare, compare_sync
from freeproviders.batch.comparison import Comparison
from freeproviders.batch.engine import Answered, answered, batch, batch_sync, kept
from freeproviders.batch.model_answers import Answer, ModelAnswers
from freeproviders.batch.progress import Pause, Progress
from freeproviders.batch.report import Report
from freeproviders.batch.rows import Question, Row, RowState

__all__ = [
    "Answer",
    "Answered",
    "Comparison",
    "Judgement",
    "ModelAnswers",
    "Pause",
    "Progress",
    "Question",
    "Report",
    "Row",
    "RowState",
    "Share",
    "answered",
    "batch",
    "batch_sync",
    "compare",
    "compare_sync",
    "kept",
]
