"""The tables of docs/services.md, from the catalogue.

They hold the dates of facts and never their ages, so that they change with the rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from marked import replaced

from freeproviders.catalogue import Catalogue, Service, facts_of
from freeproviders.catalogue.guard import key_variables
from freeproviders.catalogue.words import amount, conditions, free, has_free, oldest, privacy, shown, terms

Columns = dict[str, Callable[[Service], str]]


def pages(docs: Path, catalogue: Catalogue | None = None) -> dict[Path, str]:
    """Give the page with the tables in it."""
    page = docs / "services.md"
    services = list(catalogue or Catalogue(others=()))
    tables = {
        "free": table([one for one in services if has_free(one) and not one.local], FREE),
        "local": table([one for one in services if one.local], LOCAL),
        "unknown": table([one for one in services if not has_free(one) and one.gone is None], UNKNOWN),
        "ended": table([one for one in services if one.gone is not None], ENDED),
    }
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        text = replaced(text, "table", name, lines)
    return {page: text}


def table(services: Iterable[Service], columns: Columns) -> str:
    """Write one line a service."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(cell(write(one)) for write in columns.values()) for one in services]
    return "".join(f"| {line} |\n" for line in lines)


def cell(text: str) -> str:
    """Keep a text within its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def name(service: Service) -> str:
    """Write name and id, with a link to the service's documentation."""
    title = f"[{service.name}]({service.documentation})" if service.documentation else service.name
    return f"{title} `{service.id}`"


def limits(service: Service) -> str:
    """Write the limits one behind the other."""
    return "; ".join(limit_lines(service)) or "not known"


def limit_lines(service: Service) -> Iterator[str]:
    """Write each limit, with what it is for where it is not for everything."""
    for limit in service.limit:
        said = conditions(limit)
        yield f"{shown(limit)} ({said.replace('*', chr(92) + '*')})" if said else shown(limit)


def models(service: Service) -> str:
    """Write how many models there are, and the largest context window among them."""
    named = [one for one in service.models if "*" not in one]
    if not named:
        return "any"
    widest = max((facts_of(service, one).context or 0 for one in named), default=0)
    return f"{len(named)}, up to {amount(widest)} tokens" if widest else str(len(named))


def default(service: Service) -> str:
    """Write the default model."""
    return f"`{service.default_model}`" if service.default_model else "name one"


def keys(service: Service) -> str:
    """Write which variables may hold the key, with a link to where one is issued."""
    names = " or ".join(f"`{one}`" for one in key_variables(service)) or "none"
    optional = ", optional" if service.key == "optional" else ""
    return f"{names}{optional}" + (f" ([get one]({service.key_address}))" if service.key_address else "")


def allowed(service: Service) -> str:
    """Write the terms, with a link to them."""
    link = f"[terms]({service.terms.address})" if service.terms.address else ""
    return "; ".join(filter(None, (terms(service.terms), link))) or "not known"


def checked(service: Service) -> str:
    """Write the day of the oldest limit, or of the service."""
    day = oldest(service)
    return "" if day is None else day.isoformat()


FREE: Columns = {
    "service": name,
    "what is free": free,
    "limits": limits,
    "models": models,
    "default model": default,
    "prompts": lambda service: privacy(service.privacy),
    "terms": allowed,
    "key": keys,
    "oldest fact": checked,
}
LOCAL: Columns = {"server": name, "address": lambda service: f"`{service.base_url}`", "oldest fact": checked}
UNKNOWN: Columns = {"service": name, "prompts": FREE["prompts"], "key": keys, "oldest fact": checked}
ENDED: Columns = {
    "service": name,
    "what ended": lambda service: service.gone.what if service.gone else "",
    "when": lambda service: service.gone.on.isoformat() if service.gone else "",
    "why": lambda service: service.gone.why if service.gone else "",
}
