"""A service asked whether it behaves as its row in the catalogue says.

`Prober("groq").run()` sends one small request for each question, with the user's own key, and
returns a `Report`: what differs from the row, with the lines of a file that correct it. Nothing
here runs by itself.
"""

from __future__ import annotations

from freeproviders.probing.plan import Plan
from freeproviders.probing.prober import Prober
from freeproviders.probing.recording import recorded
from freeproviders.probing.report import Finding, Outcome, Report

__all__ = ["Finding", "Outcome", "Plan", "Prober", "Report", "recorded"]
