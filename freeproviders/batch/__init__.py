"""Many questions: each is asked once, its answer is stored before its row counts, and a run goes on.

::

    report = await batch(["What is a leap year?", "Why is the sky blue?"], FreeProviders())

The same line again asks only what has no answer yet. `answered` yields the rows as they end.
"""

from freeproviders.batch.engine import Answered, answered, batch, batch_sync, kept
from freeproviders.batch.progress import Pause, Progress
from freeproviders.batch.report import Report
from freeproviders.batch.rows import Question, Row, RowState

__all__ = [
    "Answered",
    "Pause",
    "Progress",
    "Question",
    "Report",
    "Row",
    "RowState",
    "answered",
    "batch",
    "batch_sync",
    "kept",
]
