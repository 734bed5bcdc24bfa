"""Arguments as `<arg_key>city</arg_key><arg_value>Paris</arg_value>`, as GLM and others write them."""

from __future__ import annotations

from freeproviders.tools.read.cursor import CUT_OFF, Cursor, Waiting, literal, skip, until
from freeproviders.tools.read.dialects.families import PAIRS
from freeproviders.tools.read.dialects.values import Values


def pairs(c: Cursor, opener: str, values: Values) -> Waiting:
    """Read keys and values while there are any; return the fault, if there is one."""
    tags = PAIRS[opener]
    while (yield from literal(c, (opener,))):
        start = c.tell()
        if not (yield from until(c, (tags.key_closer,))):
            return CUT_OFF
        key = c.since(start)[: -len(tags.key_closer)].strip()
        yield from skip(c)
        plain = None
        if tags.kind and (yield from literal(c, (tags.kind,))):
            start = c.tell()
            if not (yield from until(c, (tags.kind_closer,))):
                return CUT_OFF
            plain = c.since(start)[: -len(tags.kind_closer)].strip() == "string"
            yield from skip(c)
        if not (yield from literal(c, (tags.value,))):
            return CUT_OFF if c.exhausted else f"the value of {key[:100]} is missing"
        start = c.tell()
        if not (yield from until(c, (tags.value_closer,))):
            return CUT_OFF
        values.add(key, c.since(start)[: -len(tags.value_closer)], plain=plain)
        yield from skip(c)
    return CUT_OFF if c.cut_here else ""
