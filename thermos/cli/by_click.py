"""The reader of command lines that knows everything: help, completion, and what is wrong with a wrong line."""

from __future__ import annotations

import difflib
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from thermos import __version__, paths

from . import COMMANDS, load
from .kind import ROOT, Argument, Option

if TYPE_CHECKING:
    from .kind import Command

_SETTINGS = {"help_option_names": ["-h", "--help"]}


def read(words: list[str]) -> tuple[Command, dict[str, Any]] | int:
    """A command and what was given to it, or the exit status where all is said (help, version, an error)."""
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    try:
        answer: tuple[Command, dict[str, Any]] | int = _thermos.main(words, prog_name="thermos", standalone_mode=False)
        return answer
    except click.ClickException as error:
        error.show()
        return error.exit_code


class _Thermos(click.Group):
    """The group of all commands, each loaded only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _click_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items(), ("help", "This text, or that of a command.")])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        close = difflib.get_close_matches(name, [*COMMANDS, "help"], 3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise click.UsageError(f"there is no command {name!r}.{hint}", ctx)


@click.command(cls=_Thermos, context_settings=_SETTINGS)
@click.version_option(__version__, "--version", message="thermos %(version)s")
def _thermos() -> None:
    """Run tasks, graphs of processes, on this host; look at them and end them."""


def _click_command(name: str) -> click.Command:
    command = load(name)

    def chosen(**given: Any) -> tuple[Command, dict[str, Any]]:
        return command, given

    return click.Command(
        name,
        params=[*map(_click_argument, command.ARGUMENTS), *map(_click_option, (*command.OPTIONS, ROOT))],
        callback=chosen,
        help="\n\n".join(filter(None, [command.HELP, _argument_help(command.ARGUMENTS)])),
        context_settings=_SETTINGS,
    )


def _argument_help(arguments: tuple[Argument, ...]) -> str:
    """click has no help for arguments of its own; \\b keeps it from joining the lines."""
    width = max((len(argument.name) for argument in arguments), default=0)
    lines = [f"{argument.name.upper():{width}}  {argument.help}" for argument in arguments]
    return "\n".join(["\b", *lines]) if lines else ""


def _click_argument(argument: Argument) -> click.Argument:
    name = argument.name.upper() + ("..." if argument.many else "")
    return click.Argument(
        [argument.key],
        nargs=-1 if argument.many else 1,
        required=argument.required,
        metavar=name if argument.required else f"[{name}]",
        shell_complete=_complete_task_id if argument.key == "task_id" else None,
    )


def _click_option(option: Option) -> click.Option:
    names = [option.key, f"--{option.name}", *([f"-{option.short}"] if option.short else [])]
    if option.kind == "flag":
        return click.Option(names, is_flag=True, default=False, help=option.help)
    return click.Option(
        names,
        type=click.Choice(option.choices) if option.choices else str,
        callback=partial(_value, option),
        metavar="|".join(option.choices) or option.metavar,
        multiple=option.kind == "repeatable",
        default=option.default,
        show_default=option.default not in (None, ()),
        help=option.help,
    )


def _value(option: Option, ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
    """One of our kinds: the quick reader and click read a value by the same function."""
    if option.kind == "repeatable" or text is None:
        return text
    try:
        return option.value(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def _complete_task_id(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from thermos.checkpoint import tasks

    root = ctx.params.get("root") or paths.default_root()
    try:
        return [task_id for task_id in tasks.task_ids(root) if task_id.startswith(incomplete)]
    except OSError:
        return []
