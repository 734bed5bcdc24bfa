"""Signs by which a service's refusals are told apart, as its row in the catalogue names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
"concurrency" is too many requests at the same time, "overload" a service without room for anybody,
"upstream" a limit of somebody whom the service asks in turn, "down" a model that does not run at
present. "not-in-plan" is a model that the account's plan does not have, "retired" one that is gone,
"too-large" a request above what one request may have. "key" is a wrong one, "region" a country that
is not served, "permission" something else that is not allowed. "request" is a field that the
service does not take; `send` and `leave_out` mend it.
"""


@dataclass(frozen=True, slots=True)
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
