"""A comparison as a picture, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from freeproviders.batch.model_answers import ModelAnswers


def draw(models: Sequence[ModelAnswers]) -> Figure:
    """Draw shares of right answers, where something was judged, beside the seconds of each answer."""
    judged = any(model.right.of for model in models)
    figure, panels = plt.subplots(
        1,
        1 + judged,
        figsize=(9, 1.2 + 0.5 * len(models)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    places = range(len(models))
    if judged:
        _shares(panels[0][0], models)
    _times(panels[0][-1], models)
    panels[0][0].set_yticks(places, [model.model for model in models])
    panels[0][0].set_ylim(len(models) - 0.5, -0.5)
    panels[0][0].set_ylabel("model")
    panels[0][-1].set_ylabel("model")
    plt.close(figure)  # else a notebook would display it twice
    return figure


def _shares(axes: Any, models: Sequence[ModelAnswers]) -> None:
    for place, model in enumerate(models):
        share = model.right
        if not share.of:
            continue
        low, high = share.interval
        axes.plot([100 * low, 100 * high], [place, place], color="tab:blue", linewidth=6, alpha=0.3)
        axes.plot([100 * share.part], [place], marker="o", color="tab:blue")
        axes.annotate(
            f"{share.count} of {share.of}", (100 * share.part, place), (0, 7), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    axes.set(xlim=(-5, 105), xlabel="right, % of questions", title="Right answers, with 95 % intervals")


def _times(axes: Any, models: Sequence[ModelAnswers]) -> None:
    for place, model in enumerate(models):
        times = [
            answer.row.completion.seconds
            for answer in model
            if answer.row.completion is not None and answer.row.completion.seconds is not None
        ]
        axes.scatter(times, [place] * len(times), color="tab:gray", alpha=0.5, s=18)
        if model.seconds is not None:
            axes.plot([model.seconds], [place], marker="|", markersize=18, color="tab:red")
    axes.set(xlabel="seconds of an answer", title="Time, with the median in red")
    axes.set_xlim(left=0)
