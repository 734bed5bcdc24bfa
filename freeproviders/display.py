"""Answers and rows in a notebook: small HTML without scripts, links and pictures.

Whatever is shown may have been written by a model or a service. It is escaped first, and the few
marks of Markdown that are understood (headings, lists, bold, code) are made of the escaped text, so
that an answer can neither run anything nor load anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from html import escape
from typing import Any, Final, TypeVar

T = TypeVar("T")

CELL_CHARS: Final = 300
MAX_ROWS: Final = 100
REPR_CHARS: Final = 60
_LEFT: Final = ' style="text-align: left; vertical-align: top"'
_SHORT: Final = ' style="text-align: left; vertical-align: top; white-space: nowrap"'
_SHORT_CHARS: Final = 24
_DIM: Final = ' style="opacity: 0.7; font-size: 90%"'
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING: Final = re.compile(r"(#{1,6}) +(.*)")
_ITEM: Final = re.compile(r"(?:[-*+]|(\d{1,9})[.)]) +(.*)")
_CODE: Final = re.compile(r"`([^`\n]{1,1000})`")
_BOLD: Final = re.compile(r"\*\*([^*\n]{1,1000})\*\*")


class Rows(list[T]):
    """A list whose items a notebook shows as the rows of a table."""

    def _repr_html_(self) -> str:
        return table([cells_of(item) for item in self])


def cells_of(item: Any) -> Mapping[str, object]:
    """Return the cells of a row by the names of their columns."""
    if isinstance(item, Mapping):
        return item
    for name in ("cells", "plain", "_asdict"):
        if (method := getattr(item, name, None)) is not None:
            cells: Mapping[str, object] = method()
            return cells
    return {"": item}


def table(rows: Sequence[Mapping[str, object]], title: str = "") -> str:
    """Write rows as a table; a column that is empty in all of them is left out."""
    written = [{name: worded(value) for name, value in row.items()} for row in rows[:MAX_ROWS]]
    names = dict.fromkeys(name for row in written for name in row)
    columns = [name for name in names if any(row.get(name) for row in written)]
    above = f"<div><b>{escape(title)}</b></div>" if title else ""
    if not columns:
        return f"{above}<div{_DIM}>nothing</div>"
    head = "".join([f"<th{_LEFT}>{_column(name)}</th>" for name in columns])
    body = "".join(
        ["<tr>" + "".join([_cell(row.get(name, "")) for name in columns]) + "</tr>" for row in written]
    )
    more = f"<div{_DIM}>and {len(rows) - MAX_ROWS} more</div>" if len(rows) > MAX_ROWS else ""
    return f"{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def facts(named: Mapping[str, object], title: str = "") -> str:
    """Write names and values as a table of two columns; what is empty is left out."""
    rows = [(name, worded(value)) for name, value in named.items()]
    body = "".join(
        [f"<tr><th{_SHORT}>{_column(name)}</th>{_cell(value)}</tr>" for name, value in rows if value]
    )
    above = f"<div><b>{escape(title)}</b></div>" if title else ""
    return f"{above}<table><tbody>{body}</tbody></table>"


def folded(title: str, inner: str) -> str:
    """Write something that is shown after a click."""
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def counted(number: int, what: str) -> str:
    """Write a number of things, as "1 limit" or "2 limits"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def dimmed(words: Iterable[str]) -> str:
    """Write a line of remarks."""
    return f"<div{_DIM}>{escape(' · '.join(word for word in words if word))}</div>"


def worded(value: object) -> str:
    """Write a value of a cell."""
    match value:
        case None | "":
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case date():
            return value.isoformat()
        case Mapping():
            return shortened(", ".join(f"{name} {worded(one)}" for name, one in value.items()))
        case list() | tuple():
            return shortened(", ".join(worded(one) for one in value))
        case _:
            return shortened(str(value))


def shortened(text: str, limit: int = CELL_CHARS) -> str:
    """Cut a text between words, or inside of one that is very long."""
    if len(text) <= limit:
        return text
    cut = text[:limit]
    return f"{cut[: max(cut.rfind(' '), limit // 2)].rstrip()} ..."


def prose(text: str) -> str:
    """Write an answer: escaped, with its headings, lists, bold words and code."""
    out: list[str] = []
    plain: list[str] = []
    items: list[tuple[str, str]] = []
    code: list[str] | None = None
    fence = ""

    def flush() -> None:
        if plain:
            out.append(f"<p>{'<br>'.join([_inline(line) for line in plain])}</p>")
            plain.clear()
        if items:
            kind = "ol" if items[0][0] else "ul"
            start = f' start="{items[0][0]}"' if items[0][0] not in {"", "1"} else ""
            inner = "".join([f"<li>{_inline(said)}</li>" for _, said in items])
            out.append(f"<{kind}{start}>{inner}</{kind}>")
            items.clear()

    for line in text.splitlines():
        if code is not None:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                out.append(_block(code))
                code = None
            else:
                code.append(line)
            continue
        stripped = line.strip()
        if opened := _FENCE.match(line):
            flush()
            code, fence = [], opened[1]
        elif not stripped:
            flush()
        elif heading := _HEADING.fullmatch(stripped):
            flush()
            out.append(f"<p><b>{_inline(heading[2])}</b></p>")
        elif item := _ITEM.fullmatch(stripped):
            if plain or (items and bool(items[0][0]) != bool(item[1])):
                flush()
            items.append((item[1] or "", item[2]))
        elif items and line[:1] in {" ", "\t"}:
            items[-1] = (items[-1][0], f"{items[-1][1]} {stripped}")
        else:
            if items:
                flush()
            plain.append(stripped)
    flush()
    if code is not None:  # an answer that broke off
        out.append(_block(code))
    return "".join(out)


def _cell(text: str) -> str:
    return f"<td{_SHORT if len(text) <= _SHORT_CHARS else _LEFT}>{escape(text)}</td>"


def _column(name: str) -> str:
    return escape(name.replace("_", " "))


def _block(lines: Iterable[str]) -> str:
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def _inline(text: str) -> str:
    """Write a line, escaped; code first, since nothing inside it is a mark."""
    pieces = _CODE.split(text)
    return "".join(
        [
            f"<code>{escape(piece)}</code>" if place % 2 else _BOLD.sub(r"<b>\1</b>", escape(piece))
            for place, piece in enumerate(pieces)
        ]
    )


def short_repr(name: str, first: str, **named: object) -> str:
    """Write a repr of one line: the beginning of a text, and the facts that are not empty."""
    text = repr(first if len(first) <= REPR_CHARS else f"{first[:REPR_CHARS]}...")
    rest = [f"{key}={value!r}" for key, value in named.items() if value not in (None, "", (), 0, False)]
    return f"{name}({', '.join([text, *rest])})"
