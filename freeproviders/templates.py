"""Quick copies of validated pydantic objects, for the chunks of a stream.

Validating a chunk and the objects in it costs several times what decoding the chunk did, and for a
piece of text the outcome is always the same but for the text. So an object is validated once, and
each chunk is a copy with values of its own. The state of a pydantic object is written directly for
this, here and nowhere else. `quick_or_validated` compares the copies with validated objects when a
module is loaded: should pydantic or a framework change what its objects hold, every chunk is
validated again.

Only the adapters import this module: the core does not need pydantic to be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")

_STATE: Final = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
_CHANGEABLE: Final = (dict, list, set, BaseModel)


def template(model: M) -> tuple[dict[str, Any], Callable[[dict[str, Any]], M]]:
    """Take a validated object as the template of many.

    Returns:
        The values of the object's fields, and a function that makes an object of such values. The
        function keeps the mapping it is given, so that each call needs a new one with new
        containers in it. The same fields count as set as in the template.

    Raises:
        ValueError: the object has private attributes, which a copy would not have.
    """
    if model.__pydantic_private__ is not None:
        raise ValueError(f"A {type(model).__name__} has private attributes, which a copy would lack.")
    # All names are locals of a closure and each slot is set through its own descriptor: this runs
    # for every chunk. For the same reason there are two functions and no condition in one.
    slots = BaseModel.__dict__
    set_values, set_fields = slots["__dict__"].__set__, slots["__pydantic_fields_set__"].__set__
    set_extra, set_private = slots["__pydantic_extra__"].__set__, slots["__pydantic_private__"].__set__
    new: Callable[[], M] = partial(object.__new__, type(model))
    new_fields_set = set(model.__pydantic_fields_set__).copy

    def make(values: dict[str, Any]) -> M:
        made = new()
        set_values(made, values)
        set_fields(made, new_fields_set())
        set_extra(made, None)
        set_private(made, None)
        return made

    def make_with_extra(values: dict[str, Any]) -> M:
        made = new()
        set_values(made, values)
        set_fields(made, new_fields_set())
        set_extra(made, {})
        set_private(made, None)
        return made

    return dict(model.__dict__), make if model.__pydantic_extra__ is None else make_with_extra


def quick_or_validated(
    quick: Callable[[], Callable[..., M]], validated: Callable[P, M], *args: P.args, **kwargs: P.kwargs
) -> Callable[P, M]:
    """Choose how to make objects: quickly if the objects are the same, else by validating each.

    Args:
        quick: makes the function that copies a template.
        validated: makes an object the usual way.
        args: what both are tried with.
        kwargs: as `args`.
    """
    try:
        copied = quick()
        one, other, usual = (
            make(*deepcopy(args), **deepcopy(kwargs)) for make in (copied, copied, validated)
        )
        exact = identical(one, usual) and separate(one, other)
    except Exception:  # noqa: BLE001 - whatever pydantic may do in a version to come, the usual way works
        return validated
    return copied if exact else validated


def identical(one: BaseModel, other: BaseModel) -> bool:
    """Return whether two objects are the same in values, fields set, and the objects in them."""
    if type(one) is not type(other) or one != other or list(one.__dict__) != list(other.__dict__):
        return False
    if any(getattr(one, name) != getattr(other, name) for name in _STATE):
        return False
    if one.model_dump() != other.model_dump():
        return False
    pairs = zip(_models_in(one), _models_in(other), strict=True)
    return all(identical(inner, its_twin) for inner, its_twin in pairs)


def separate(one: BaseModel, other: BaseModel) -> bool:
    """Return whether two objects share nothing that can change, at any depth."""
    if one is other or one.__pydantic_fields_set__ is other.__pydantic_fields_set__:
        return False
    if one.__pydantic_extra__ is not None and one.__pydantic_extra__ is other.__pydantic_extra__:
        return False
    for name, value in one.__dict__.items():
        if isinstance(value, _CHANGEABLE) and value is other.__dict__.get(name):
            return False
    pairs = zip(_models_in(one), _models_in(other), strict=False)
    return all(separate(inner, its_twin) for inner, its_twin in pairs)


def _models_in(model: BaseModel) -> Iterator[BaseModel]:
    """Yield the objects that an object holds, also those in a list."""
    for value in model.__dict__.values():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, BaseModel):
                yield item
