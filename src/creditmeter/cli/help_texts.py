"""Help texts: each parameter shows what to type, in the user's words, and no Python type."""

from functools import cache

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from creditmeter.cli.typed_text import take_as_typed


@cache
def command_of(app: typer.Typer) -> TyperGroup:
    """The application's commands, with tidied help texts.

    An option that takes one of several words names them; an argument shows its name alone.
    """
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup), "there are several commands"
    _tidy(command)
    return command


def _tidy(command: TyperCommand | TyperGroup) -> None:
    """Tidy a command, the commands below it, and all of their parameters."""
    if command.help:  # line ends of the source are not shown
        paragraphs = [" ".join(each.split()) for each in command.help.split("\n\n")]
        command.help = "\n\n".join(paragraphs)
        command.short_help = command.short_help or paragraphs[0]  # by default the list of commands cuts it
    with typer.Context(command) as context:
        parameters = command.get_params(context)
    for each in parameters:
        take_as_typed(each)
        if isinstance(each, TyperArgument):
            each.display_type_rich = lambda ctx: None  # type: ignore[method-assign]  # noqa: ARG005 - called by its name
        elif isinstance(each, TyperOption):
            _tidy_option(each)
    for inner in getattr(command, "commands", {}).values():
        _tidy(inner)


def _tidy_option(option: TyperOption) -> None:
    if option.metavar is None and option.type_descriptor.choices:
        option.metavar = option.opts[0].removeprefix("--").upper().replace("-", "_")
        option.help = f"{option.help} One of: {', '.join(map(str, option.type_descriptor.choices))}."
    if isinstance(option.show_default, str):
        option.help, option.show_default = f"{option.help} Default: {option.show_default}.", False
