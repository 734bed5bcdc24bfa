"""The same questions to several models: which free model is good enough for the work at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from freeproviders import bridge
from freeproviders.abilities import Askable
from freeproviders.backend import Backend
from freeproviders.batch.cases import Case, Judgement
from freeproviders.batch.comparison import Comparison
from freeproviders.batch.engine import Answered, answered
from freeproviders.batch.model_answers import Answer, ModelAnswers
from freeproviders.batch.rows import Row
from freeproviders.errors import AnswerStoreError, FreeProvidersError, LedgerError, UsageError

Model = Backend | Askable | str


async def compare(
    questions: Iterable[Any],
    models: Iterable[Model] | Mapping[str, Model],
    *,
    on_row: Callable[[str, Row], object] | None = None,
    **keywords: Any,
) -> Comparison:
    """Ask several models the same questions, and judge the answers.

    Each answer is stored: with a further model, only that model is asked, and with a further question,
    only that question. The models are asked side by side, each within its own limits; one
    that fails does not end the others.

    Args:
        questions: texts, lists of messages, `Question`s, or mappings. A mapping has "prompt", a text,
            or "messages"; settings of its own, as "tools"; perhaps a "name"; and what a right answer
            is: "expected" (the whole answer, or of a typed answer the fields that are looked at),
            "contains" (texts that it must contain), "check" (a function of the object of a typed
            answer, else of the text, that returns whether it is right, or what is wrong), "calls"
            (names of tools, or mappings with "name" and "arguments"; an empty list for none).
        models: backends, or names as a router's members have them: "groq/openai/gpt-oss-120b",
            "embedded". A service's name alone is its best model. A mapping gives them names.
        on_row: is called with the model's name and each row as it ends.
        keywords: as for `answered`: `store`, `until`, `wait`, and settings of all questions, as
            `temperature` or `response_format`, which may be a class. `on_invalid` is "pass" and
            `again` False here: an answer that still does not fit after its repairs is shown and
            counted as it is, not asked for until it fits by luck.

    Raises:
        UsageError: before anything is sent: questions, models or settings that cannot work.
        AnswerStoreError: the store cannot be used.
        LedgerError: the limits cannot be kept.
    """
    keywords = {"on_invalid": "pass", "again": False, "stream": True, **keywords}
    cases = _cases(questions, keywords)
    asked = [case.asked for case in cases]
    named = await asyncio.to_thread(backends, models)  # names are looked up in files
    runs = {name: answered(asked, backend, **keywords) for name, backend in named.items()}
    asking = [asyncio.ensure_future(_asked(name, one, cases, on_row)) for name, one in runs.items()]
    try:
        found = await asyncio.gather(*asking)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    # A check may take its time, and may ask a model itself.
    judged = await asyncio.to_thread(lambda: [_judged(one, cases) for one in found])
    return Comparison(
        questions=tuple([case.name for case in cases]),
        models={one.model: one for one in judged},
        judged=any(case.judges for case in cases),
    )


def compare_sync(
    questions: Iterable[Any],
    models: Iterable[Model] | Mapping[str, Model],
    *,
    on_row: Callable[[str, Row], object] | None = None,
    **keywords: Any,
) -> Comparison:
    """Do as `compare` in code without an event loop; `on_row` is called on another thread."""
    return bridge.run(compare(questions, models, on_row=on_row, **keywords))


def backends(models: Iterable[Model] | Mapping[str, Model]) -> dict[str, Backend]:
    """Return the backends that are asked, by the names that a comparison shows; nothing is sent.

    Raises:
        UsageError: an unknown name, a model without its key, two models of one name.
    """
    if isinstance(models, str) or not isinstance(models, Iterable):
        raise UsageError(f'models must be a list, as ["groq", "embedded"], not {models!r:.200}.')
    mapping = isinstance(models, Mapping)
    given = models.items() if isinstance(models, Mapping) else [("", one) for one in models]
    found: dict[str, Backend] = {}
    for own, model in given:
        usual, backend = _backend(model)
        if (name := own or usual) in found:
            raise UsageError(
                f"Two models are called {name}: pass a mapping of names of your own to the models."
            )
        found[name] = backend
    if not found:
        raise UsageError(f"models is empty: name at least one model{' in the mapping' if mapping else ''}.")
    return found


def _backend(model: Model) -> tuple[str, Backend]:
    """Return the usual name of a model, and the backend that is asked for it."""
    # Only a model given by name needs them: an import of the router reads the catalogue.
    from freeproviders.router.making import name_of, row_at  # noqa: PLC0415 - see above
    from freeproviders.router.router import FreeProviders  # noqa: PLC0415 - see above

    if not isinstance(model, str):
        backend = Backend.of(model)
        return name_of(backend, row_at(backend)), backend
    # As a router of one member, so that no service is asked that may cost money, and limits are kept.
    router = FreeProviders(model)
    if len(router.members) > 1:  # the best model of a service, and those it falls back to
        model = router.members[0].name
        router = FreeProviders(model)
    return model, router


def _cases(questions: Iterable[Any], settings: Mapping[str, Any]) -> list[Case]:
    if isinstance(questions, str | Mapping) or not isinstance(questions, Iterable):
        raise UsageError(f"questions must be a list of questions, not {type(questions).__name__}.")
    cases = [Case(one, number, settings) for number, one in enumerate(questions)]
    if not cases:
        raise UsageError("questions is empty: pass at least one question.")
    return cases


async def _asked(
    name: str, run: Answered, cases: Sequence[Case], on_row: Callable[[str, Row], object] | None
) -> ModelAnswers:
    """Ask one model everything; its answers are not judged yet."""
    rows: dict[int, Row] = {}
    failed: FreeProvidersError | None = None
    try:
        async with aclosing(run):
            async for row in run:
                rows[row.index] = row
                if on_row is not None:
                    on_row(name, row)
    except (AnswerStoreError, LedgerError):
        raise
    except FreeProvidersError as error:  # of this model alone
        failed = error
    report = run.report
    answers = [
        Answer(
            model=name,
            question=case.number,
            name=case.name,
            row=rows.get(case.number) or Row(index=case.number, state="exhausted", error=failed),
            judgement=Judgement(),
        )
        for case in cases
    ]
    return ModelAnswers(
        model=name,
        answers=tuple(answers),
        left=tuple([left for of_one in run.progress.quota.values() for left in of_one.values()]),
        why=str(failed) if failed is not None else report.why,
        soonest=report.soonest,
    )


def _judged(model: ModelAnswers, cases: Sequence[Case]) -> ModelAnswers:
    answers = zip(model.answers, cases, strict=True)
    return replace(
        model, answers=tuple([replace(one, judgement=case.judge(one.row)) for one, case in answers])
    )
