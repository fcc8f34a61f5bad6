"""The models from a terminal: build what is missing, verify what is there, say what each is."""

import click

from lab_services.errors import LabError
from lab_services.terminal.text_table import columns


class ModelsIncomplete(LabError):
    """`lab models --check` found a model that is missing or damaged."""


@click.command(
    epilog="""\b
    Examples:
      lab models             build the two that the first labs need
      lab models big         build the big one too (some minutes)
      lab models --check     build nothing; exit code 1 when one is missing or damaged
    """
)
@click.argument("names", nargs=-1)
@click.option("--check", is_flag=True, help="Verify only.")
@click.option("--quiet", is_flag=True, help="Say only what is being built.")
def models(names: tuple[str, ...], check: bool, quiet: bool) -> None:
    """Build the models NAMES from the flights where they are missing, damaged or outdated.

    Shows every model: its place, its size, what it predicts how well.
    """
    from lab_services.models import build

    if check:
        verify(names or build.DEFAULT)
    else:
        build.ensure(*names, report=lambda text: click.echo(text, err=True))
    if quiet:
        return
    rows: list[tuple[str, ...]] = [("model", "state", "size", "AUC", "what it is", "file")]
    rows += [_row(name) for name in build.NAMES]
    click.echo(columns(rows))


def verify(names: tuple[str, ...]) -> None:
    """Raises ModelsIncomplete when one of these, or the payloads, is missing or damaged."""
    from lab_services.models import build, store

    unknown = set(names) - set(build.NAMES)
    if unknown:
        raise LabError(
            f"There is no model {', '.join(sorted(unknown))}.",
            f"There are {', '.join(build.NAMES)}.",
        )
    wrong = []
    for path in (*map(store.model_path, names), store.payloads_path()):
        try:
            store.verify(path)
        except (store.ModelMissing, store.ModelDamaged) as error:
            wrong.append(error.message)
    if wrong:
        raise ModelsIncomplete("\n".join(wrong), f"Build them: lab models {' '.join(names)}")


def _row(name: str) -> tuple[str, ...]:
    from lab_services.models import store
    from lab_services.report import numbers

    path = store.model_path(name)
    try:
        card = store.verify(path)
    except store.ModelMissing:
        return (name, "not built", "", "", "", str(path))
    except store.ModelDamaged:
        return (name, "damaged", "", "", "", str(path))
    size = numbers.written(card["bytes"], "bytes")
    return (name, "whole", size, f"{card['metrics']['auc']:.2f}", card["what"], str(path))
