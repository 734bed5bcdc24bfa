"""What all our classes have in common: fields by many names, and what is made from them.

What answers, a backend of the core or an embedder, is made from the fields and is no part of an
object's state. Copies share it; it is dropped, and made anew, after an unpickling and where a field
changes on which it depends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from inspect import Signature
from typing import Any, ClassVar, Self, cast

from langchain_core.load.serializable import Serializable
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from freeproviders.checks import SETTINGS
from freeproviders.configuration import CONFIGURATION, split, unknown_names
from freeproviders.errors import FreeProvidersError, UsageError
from langchain_freeproviders import keywords
from langchain_freeproviders.errors import translated
from langchain_freeproviders.keywords import FIELD_OF


class _Signature:
    """The signature of a class, whose fields pydantic reads when they are first needed."""

    def __get__(self, instance: object, cls: type[BaseModel]) -> Signature:
        cls.model_rebuild()
        return cast("Signature", cls.__dict__["__signature__"].__get__(None, cls))


class Fields(Serializable):
    """Fields that know their second names; a subclass says what is made from them."""

    model_name: str = Field(default="", alias="model")
    """The model asked for; "" is the default of the backend."""

    model_config = ConfigDict(
        populate_by_name=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        defer_build=True,
        hide_input_in_errors=True,  # it may hold secrets
    )

    __signature__: ClassVar[Any] = _Signature()
    second_names: ClassVar[Mapping[str, str]] = keywords.SECOND_NAMES
    """Further names of arguments, each with the core's first one."""
    other_ways: ClassVar[Mapping[str, str]] = keywords.OTHER_WAYS
    """Arguments of LangChain's class for OpenAI that have another form here, and which."""
    place_of_options: ClassVar[str] = ""
    """Where options go that only the service knows."""
    derived: ClassVar[tuple[str, ...]] = ("_serialized",)
    """What is computed from the fields and kept by `cached_property`; `_serialized` is LangChain's."""
    answers: ClassVar[str] = ""
    """The one of them that answers."""
    shared: ClassVar[tuple[str, ...]] = ()
    """Those of them that copies share, and that outlast a change of a field."""
    no_inputs: ClassVar[frozenset[str]] = frozenset()
    """Fields that LangChain sets on each new object, and on which nothing depends."""

    # --- reading what the caller passed ---

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except ValidationError as error:
            ours = [one.get("ctx", {}).get("error") for one in error.errors(include_url=False)]
            if len(ours) != 1 or not isinstance(ours[0], FreeProvidersError):
                raise
            raise translated(ours[0]) from None  # by its own type, as a missing key

    @model_validator(mode="before")
    @classmethod
    def _read_names(cls, values: Any) -> Any:
        return cls._named(values) if isinstance(values, dict) else values

    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Put values under the names of their fields; raises `UsageError` for unknown names."""
        fields, unknown = field_names(cls), []
        out: dict[str, Any] = {}
        names: dict[str, str] = {}
        taken: dict[str, Any] = {}
        for name, value in values.items():
            field = fields.get(name)
            if field is None and cls._takes(name, value, taken):
                continue
            if field is None:
                unknown.append(name)
            elif field in out and out[field] is not None and value is not None:
                raise UsageError(f"{names[field]} and {name} are two names of one thing: pass one.")
            elif value is not None or field not in out:
                out[field], names[field] = value, name
        if unknown:
            raise unknown_names(unknown, fields, cls.__name__, options=cls.place_of_options)
        for name, more in taken.items():
            out[name] = {**more, **(out.get(name) or {})}
        return out

    @classmethod
    def _takes(cls, name: str, value: Any, taken: dict[str, Any]) -> bool:
        """Take an argument of LangChain's class for OpenAI that is no field; return whether it is one.

        What it says goes into `taken`, under the name of a field. Raises `UsageError` for one that
        has another form here.
        """
        if name in cls.other_ways:
            if value is None or value is False:
                return True
            raise UsageError(f"Unknown argument {name!r}. {cls.other_ways[name]}", provider=cls.__name__)
        if name in keywords.ORGANIZATION and "headers" in cls.model_fields:
            if value is not None:
                taken.setdefault("headers", {})["OpenAI-Organization"] = value
            return True
        return False

    # --- copies ---

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._forget(("_serialized",) if name in self.no_inputs else self._outdated((name,)))

    def __copy__(self) -> Self:
        for name in self.shared:
            getattr(self, name)  # what is made later would be the copy's alone
        copied = super().__copy__()
        copied._forget(self._outdated(()))  # noqa: SLF001 - its own class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = self.__copy__()
        kept = [copied.__dict__[name] for name in self.derived if name in copied.__dict__]
        return super(Fields, copied).__deepcopy__({**{id(one): one for one in kept}, **(memo or {})})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other values of fields if so wished."""
        if deep and update:  # pydantic would pass over `__deepcopy__`
            return self.model_copy(deep=True).model_copy(update=update)
        copied = super().model_copy(update=update, deep=deep)
        if update:
            copied._forget(self._outdated(update))  # noqa: SLF001 - its own class
        return copied

    @classmethod
    def _makes_what_answers(cls, field: str) -> bool:
        """Return whether what answers depends on a field."""
        del field
        return True

    def _outdated(self, changed: Iterable[str]) -> list[str]:
        """Name what is derived and not kept where some fields have changed."""
        kept = {*self.shared, *(() if any(map(self._makes_what_answers, changed)) else (self.answers,))}
        return [name for name in self.derived if name not in kept]

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        kept = {name: value for name, value in state["__dict__"].items() if name not in self.derived}
        return {**state, "__dict__": kept}

    def _forget(self, names: Iterable[str] | None = None) -> None:
        for name in self.derived if names is None else names:
            self.__dict__.pop(name, None)


@cache
def field_names(cls: type[Fields]) -> Mapping[str, str]:
    """Everything that a constructor takes, each with the field it fills."""
    fields = {name: name for name in cls.model_fields}
    fields.update((field.alias, name) for name, field in cls.model_fields.items() if field.alias)
    for name, first in {**cls.second_names, **{name: name for name in FIELD_OF}}.items():
        field = FIELD_OF.get(first, first)
        if field in cls.model_fields:
            fields.setdefault(name, field)
    return fields


def check_options(cls: type[Fields], options: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless `model_kwargs` holds options of the service only."""
    split(options, cls.__name__)  # raises for what looks like a credential
    known = {*CONFIGURATION, *SETTINGS, *cls.second_names, *field_names(cls)}
    if wrong := [name for name in options if name in known]:
        raise UsageError(
            f"model_kwargs holds {', '.join(wrong)}: it is for the service's own options. Pass "
            f"{wrong[0]} as an argument of its own.",
            provider=cls.__name__,
        )
