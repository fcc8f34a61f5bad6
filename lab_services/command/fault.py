"""Faults and changes of a running stack, from a terminal: one command for each of `CHANGES`."""

from typing import Any

import click
import msgspec
from msgspec import inspect

from lab_services.command.group import Lab
from lab_services.command.selection import choose, stack_option
from lab_services.stack.faults import CHANGES, Change


@click.group(
    cls=Lab,
    epilog="""\b
    Examples:
      lab fault kill predictor --replica 2
      lab fault delay predictor 0.2 --share 0.1
      lab fault clear predictor
      lab fault scale predictor 4 --stack serving/web-single
    """,
)
def fault() -> None:
    """Break a running stack, mend it, change it.

    The stack keeps each fault with its time, whoever caused it: a notebook's charts shade it.
    """


def _command(kind: type[Change]) -> click.Command:
    def run(name: str | None, **given: Any) -> None:
        stack = choose(name).attach()
        stack.do(kind(**given))
        click.echo(kind.said.format(**given) if kind.said else str(stack))

    command = click.Command(
        kind.word,
        params=[_parameter(field) for field in msgspec.structs.fields(kind)],
        callback=run,
        help=kind.__doc__,
        epilog=f"Example: lab fault {kind.word} {kind.example}",
    )
    stack_option(command)
    return command


def _parameter(field: msgspec.structs.FieldInfo) -> click.Parameter:
    """What must be said is an argument, all else an option."""
    kind, text = inspect.type_info(field.type), ""
    if isinstance(kind, inspect.Metadata):
        text = (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    if isinstance(kind, inspect.DictType):
        return click.Argument(
            [field.name], nargs=-1, required=True, metavar="NAME=VALUE...", callback=_settings
        )
    if field.required:
        return click.Argument([field.name], type=_type(kind))
    name = f"--{field.name.replace('_', '-')}"
    return click.Option(
        [name], type=_type(kind), default=field.default, show_default=True, help=text
    )


def _settings(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    for setting in given:
        if setting.find("=") < 1:
            raise click.UsageError(f"{setting!r} is not NAME=VALUE.")
    return dict(setting.split("=", 1) for setting in given)


def _type(kind: inspect.Type) -> "click.ParamType[Any]":
    match kind:
        case inspect.IntType(ge=None, le=None):
            return click.INT
        case inspect.IntType():
            return click.IntRange(kind.ge, kind.le)
        case inspect.FloatType():
            return click.FloatRange(kind.gt, kind.le, min_open=True)
    return click.STRING


for _kind in CHANGES:
    fault.add_command(_command(_kind))
