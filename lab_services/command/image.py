"""The image of containers, from a terminal."""

import click


@click.command(
    epilog="""\b
    Examples:
      lab image            build it ahead of a stack, with minutes to spare
      docker save --output image.tar "$(lab image)"
    """
)
@click.option("--name", "only_name", is_flag=True, help="Build nothing, and ask no engine.")
def image(only_name: bool) -> None:
    """Build the image that containers run from, unless it is there, and print its name.

    The name changes with what is in the image.
    """
    from lab_services.stack import engine
    from lab_services.stack import image as service

    if only_name:
        click.echo(service.name())
        return
    client = engine.connect().client
    try:
        click.echo(service.ensure(client, lambda line: click.echo(line, err=True)))
    finally:
        client.close()
