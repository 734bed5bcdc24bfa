"""Signs by which a service's refusals are told apart, as its row in the catalogue names them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Literal

from freeproviders.records import record
from freeproviders.wire.limits import Metric

Kind = Literal[
    "minute",
    "hour",
    "day",
    "month",
    "credit",
    "concurrency",
    "overload",
    "upstream",
    "down",
    "not-in-plan",
    "retired",
    "too-large",
    "key",
    "region",
    "permission",
    "request",
]
"""What a refusal is about.

"minute" to "month" are allowances that come back with time, "credit" one that does not.
"concurrency" is too many requests at the same time, "overload" a service that is too busy for all of
its clients, "upstream" a limit of another service that it asks in turn, "down" a model that does not
run at present. "not-in-plan" is a model that the account's plan does not have, "retired" one that is gone,
"too-large" a request above what one request may have. "key" is a wrong one, "region" a country that
is not served, "permission" something else that is not allowed. "request" is a field that the
service does not take; `send` and `leave_out` mend it.
"""


@record
class Sign:
    """One way in which a service says no.

    All that is given must be there: the HTTP `status` (200 for an error inside an answer), each
    text of `match` in the body or the error's message (in any case of letters), the error's own
    `code`, a `header` as "name: value". `text` is an answer's whole text that is in truth a
    refusal. `scope` names what the refusal counts for: "model", or a pool of the service's limits;
    `metric` is what the limit counts, "" where the sign is the same for all metrics. For a
    "request", the same question is asked again with the fields of `send` and without those of
    `leave_out`.

    `body` is an example of the answer's body, which replicas send. In it `{model}` stands for the
    model; `{limit}`, `{used}`, `{remaining}` and `{requested}` for numbers of the limit; and for
    the time until it comes back `{seconds}` (5.289), `{duration}` (Go's 2m59.56s), `{epoch_s}` and
    `{epoch_ms}` (the moment, since 1970) and `{iso}` (the moment, RFC 3339).
    """

    kind: Kind
    status: int | None = None
    match: tuple[str, ...] = ()
    code: str = ""
    header: str = ""
    text: str = ""
    scope: str = ""
    metric: Metric | Literal[""] = ""
    advice: str = ""
    body: str = ""
    send: Mapping[str, object] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()


def find_sign(
    signs: Sequence[Sign],
    *,
    statuses: Collection[int | None],
    said: str,
    codes: Collection[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Sign | None:
    """Return the first sign that fits a refusal, None where none does.

    Args:
        signs: the signs of a row, in its order.
        statuses: the HTTP status and, of an error inside an answer, the one that it names itself.
        said: the body and the error's message.
        codes: whatever the error calls its code, type or status.
        headers: the answer's headers, whose names are looked up in any case.
    """
    if not signs:
        return None
    said = said.casefold()
    codes = {code.casefold() for code in codes}
    return next((sign for sign in signs if _fits(sign, statuses, said, codes, headers or {})), None)


def disguises(signs: Sequence[Sign]) -> tuple[Sign, ...]:
    """Return the signs of refusals that come as the whole text of an answer."""
    return tuple([sign for sign in signs if sign.text])


def _fits(
    sign: Sign,
    statuses: Collection[int | None],
    said: str,
    codes: Collection[str],
    headers: Mapping[str, str],
) -> bool:
    """Return whether all that a sign names is there; one that names nothing fits nothing."""
    if sign.text or not (sign.status or sign.match or sign.code or sign.header):
        return False
    return (
        (sign.status is None or sign.status in statuses)
        and (not sign.code or sign.code.casefold() in codes)
        and all(text.casefold() in said for text in sign.match)
        and (not sign.header or _is_there(sign.header, headers))
    )


def _is_there(header: str, headers: Mapping[str, str]) -> bool:
    """Return whether a header has the value that a sign wants; without one, whether it is there."""
    name, _, value = header.partition(":")
    found = headers.get(name.strip())
    return found is not None and (not value.strip() or found.strip().casefold() == value.strip().casefold())
