"""Commands whose help teaches: options in groups, examples, and errors in the options' names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from typer.core import TyperCommand, TyperGroup

from freeproviders.cli import terminal

F = TypeVar("F", bound=Callable[..., Any])
EXAMPLES: Final = "examples"
VARIABLES: Final = "variables"
_VALUES: Final = {"str": "TEXT", "int": "N", "float": "NUMBER", "path": "FILE"}
"""What stands for a value in place of its type in Python, where an option says nothing itself."""
_TYPE: Final = re.compile(r" <[^<>]*?\b(str|int|float|path)\b[^<>]*>", re.IGNORECASE)
LEFT_EXIT: Final = 3
INTERRUPTED_EXIT: Final = 130
EXIT_CODES: Final = {
    0: "success",
    1: "an error of a service, of the model or of this machine",
    2: "a wrong command: nothing was sent",
    LEFT_EXIT: "a batch has rows left: the same command goes on",
    INTERRUPTED_EXIT: "Ctrl-C",
}


def examples(*lines: str) -> Callable[[F], F]:
    """Give a command's function examples, as they are typed into a shell."""

    def given(function: F) -> F:
        setattr(function, EXAMPLES, lines)
        return function

    return given


def examples_of(command: Any) -> tuple[str, ...]:
    """Return the examples of a command."""
    return tuple(getattr(command.callback, EXAMPLES, ()))


def variables(**meanings: str) -> Callable[[F], F]:
    """Give a command's function the variables of the environment that it looks at."""

    def given(function: F) -> F:
        setattr(function, VARIABLES, meanings)
        return function

    return given


class _Taught:
    """What a command and a group of commands have in common."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; its errors name its options."""
        options = {one.name: max(one.opts, key=len) for one in ctx.command.params if one.opts}
        terminal.speak_of({name: option for name, option in options.items() if option.startswith("--")})
        return super().invoke(ctx)  # type: ignore[misc]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, and the options in their groups."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):  # type: ignore[attr-defined]
            if (record := one.get_help_record(ctx)) is not None:
                is_argument = one.param_type_name == "argument"
                named = "Arguments" if is_argument else getattr(one, "rich_help_panel", None)
                # An argument has a name already, where an option needs one for its value.
                shown = _TYPE.sub("" if is_argument else _value, record[0])
                groups.setdefault(named or "Options", []).append((shown, record[1]))
        general = groups.pop("Options", [])
        for name, records in [*groups.items(), ("Options" if not groups else "Other options", general)]:
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def format_epilog(self, _: Any, formatter: Any) -> None:
        """Write the variables, and the examples, each on a line of its own."""
        if meanings := getattr(self.callback, VARIABLES, None):  # type: ignore[attr-defined]
            with formatter.section("Environment"):
                formatter.write_dl(list(meanings.items()))
        if lines := examples_of(self):
            with formatter.section("Examples"):
                for line in lines:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _value(type_: re.Match[str]) -> str:
    return f" {_VALUES[type_[1].lower()]}"


class Command(_Taught, TyperCommand):
    """A command with examples."""


class Group(_Taught, TyperGroup):
    """A group of commands with examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options in their groups, and the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, _: Any, formatter: Any) -> None:
        """Write the commands, each with the whole of its first sentence."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(500)) for name, one in self.commands.items() if not one.hidden]
            )


class WithRun(Group):
    """A group whose command `run` is meant where none is named: `batch in.csv` is `batch run in.csv`.

    Its help is that of this command, with the names of the others.
    """

    usual = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the command before what it is given."""
        if (not args and not ctx.resilient_parsing) or (args and args[0] not in {*self.commands, "--help"}):
            args = [self.usual, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; the one that is meant where none is named has the group's own usage line."""
        name, command, rest = super().resolve_command(ctx, args)
        if name == self.usual and command is not None:
            usual: Any = ctx.__class__
            command.context_class = type(
                usual.__name__, (usual,), {"command_path": property(lambda self: self.parent.command_path)}
            )
        return name, command, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the command that is meant, and the other commands."""
        meant: Any = self.commands[self.usual]
        inner = ctx.__class__(meant, info_name=ctx.info_name, parent=ctx.parent)
        meant.format_usage(inner, formatter)
        meant.format_help_text(inner, formatter)
        meant.format_options(inner, formatter)
        self.format_commands(ctx, formatter)
        meant.format_epilog(inner, formatter)


class Root(Group):
    """The whole of the command line."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the exit codes too."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl(
                [(str(code), f"{what[0].upper()}{what[1:]}.") for code, what in EXIT_CODES.items()]
            )
