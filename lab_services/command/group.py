"""How commands end: a user's mistake is a message and a hint, an interrupt is exit code 130."""

from difflib import get_close_matches
from typing import Any

import click

from lab_services.ending import INTERRUPTED
from lab_services.errors import LabError


class Lab(click.Group):
    """A group of commands that names the nearest ones and shows a LabError without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use, not of the alphabet."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises UsageError, which names the nearest commands, when there is none of that name."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            near = get_close_matches(args[0], self.commands, cutoff=0.5) or list(self.commands)
            ctx.fail(f"There is no command {args[0]!r}. Did you mean: {', '.join(near)}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except LabError as error:
            click.echo(f"Error: {error.message}", err=True)
            if error.hint:
                click.echo(error.hint, err=True)
            raise click.exceptions.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
