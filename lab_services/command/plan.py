"""Which labs are to be proved, shared out over several machines: what the workflows begin with."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from lab_services import paths
from lab_services.command.prove import KEPT, choose, labs_to_prove

# Seconds of a lab on one runtime where no machine has told it. Short is a minute at most.
_SHORT, _FULL = 60.0, 240.0


@click.command(
    epilog="""\b
    Examples:
      lab plan --changed --sample 4
      lab plan --all --full --shards 12

    Prints a list for `fromJSON`: [{"shard": 1, "labs": "serving/batch qa/loading-test"}, ...]
    """
)
@labs_to_prove
@click.option("--full", is_flag=True, help="They will be measured at full length.")
@click.option(
    "--shards",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="On so many machines at most.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Where the last answers are kept.  [default: {KEPT}, in the checkout]",
)
def plan(
    named: tuple[str, ...],
    every: bool,
    changed: bool,
    listed: bool,
    sample: int,
    full: bool,
    shards: int,
    out: Path | None,
) -> None:
    """Share out labs over machines that measure them at once, each on both runtimes.

    Takes about as long on each, by what the last measurements took. Says which labs are left out,
    and what was last found of them.
    """
    from lab_services.runs import judging, last_verdicts, sharing

    now = last_verdicts.now()
    steady = judging.steady() if listed else []
    due = choose(named, every, steady, sample, now)
    asked = choose(named, every or changed, steady, sample, now)
    planning = Planning(out or paths.repository() / KEPT, full, now)
    meant = [lab for lab in asked if lab in due or not planning.stands(lab)]
    for lab in asked:
        if lab not in meant:
            click.echo(f"{lab}: not run; last verdict: {planning.last(lab)}", err=True)
    shared = sharing.shares({lab: planning.seconds(lab) for lab in meant}, shards) if meant else []
    for number, share in enumerate(shared, start=1):
        took = sum(planning.seconds(lab) for lab in share) / 60
        click.echo(f"shard {number}, some {took:.0f} min: {', '.join(share)}", err=True)
    rows = [{"shard": number, "labs": " ".join(labs)} for number, labs in enumerate(shared, 1)]
    click.echo(json.dumps(rows))


@dataclass(frozen=True)
class Planning:
    """What is known of labs on both runtimes: whether it still stands, and how long they take."""

    kept: Path
    full: bool
    now: datetime

    def stands(self, lab: str) -> bool:
        """Whether what was last found on each runtime need not be asked again."""
        from lab_services.runs import inputs, last_verdicts
        from lab_services.runs.notebook import Length
        from lab_services.stack.choice import RUNTIMES

        # What held at full length need not be asked in short.
        lengths = (Length.FULL,) if self.full else (Length.FULL, Length.SHORT)
        key = inputs.inputs(lab).key
        found = [last_verdicts.last(self.kept, lab, runtime) for runtime in RUNTIMES]
        return all(
            answer is not None and any(answer.stands(key, each, self.now) for each in lengths)
            for answer in found
        )

    def last(self, lab: str) -> str:
        """What was last found on each runtime."""
        from lab_services.runs import last_verdicts
        from lab_services.stack.choice import RUNTIMES

        return "; ".join(f"{each}: {last_verdicts.last(self.kept, lab, each)}" for each in RUNTIMES)

    def seconds(self, lab: str) -> float:
        """What measuring it takes on both runtimes, one after the other."""
        from lab_services.runs import last_verdicts
        from lab_services.runs.notebook import Length
        from lab_services.stack.choice import RUNTIMES

        taken = 0.0
        for runtime in RUNTIMES:
            last = last_verdicts.last(self.kept, lab, runtime)
            known = last.seconds if last is not None else None
            full = last is not None and last.length == Length.FULL
            if known is None or (self.full and not full):
                taken += _FULL if self.full else _SHORT
            else:
                taken += known if self.full or not full else min(known, _SHORT)
        return taken
