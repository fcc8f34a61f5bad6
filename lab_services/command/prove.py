"""Whether the claims of labs hold here: which labs are measured, and what is said of each."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab_services import paths
from lab_services.command import labs
from lab_services.command.run import ACellFails
from lab_services.errors import LabError
from lab_services.terminal.text_table import columns

if TYPE_CHECKING:
    from lab_services.runs.judging import Judgement
    from lab_services.runs.last_verdicts import Answer

KEPT = Path("runs/prove")


class SteadyClaimFails(LabError):
    """A claim of a lab that is on the list of steady ones does not hold, twice."""

    exit_code = 3


def labs_to_prove(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and the options that say which labs are meant."""
    for option in reversed(
        (
            click.argument("named", nargs=-1, metavar="[LAB]..."),
            click.option("--all", "every", is_flag=True, help="Every lab."),
            click.option(
                "--changed",
                is_flag=True,
                help="Labs whose inputs (`lab inputs`) have changed, or whose claims did not all "
                "hold here within the last week.",
            ),
            click.option(
                "--steady", "listed", is_flag=True, help="The labs on the list labs/steady.txt."
            ),
            click.option(
                "--sample",
                type=click.IntRange(min=0),
                default=0,
                metavar="N",
                help="N labs besides: others each day, until all have had their turn.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command(
    epilog="""\b
    Examples:
      lab prove serving/web-single
      lab prove serving/web-single --runtime both --full
      lab prove --changed
      lab prove --steady --sample 2 --minutes 15
      lab prove --all --runtime both --full

    \b
    Exit codes:
      0  no claim of a steady lab fails to hold twice, no cell fails twice
      1  it could not be done; the message says why
      3  a claim of a steady lab does not hold, twice
      5  a cell fails, twice
    """
)
@labs_to_prove
@click.option(
    "--runtime",
    type=click.Choice(["auto", "docker", "process", "both"]),
    default="auto",
    show_default=True,
    help="auto: what LAB_RUNTIME says, else Docker where its engine answers.",
)
@click.option("--full", is_flag=True, help="At full length the first time, too.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    help="Begin with no further lab of the sample, or of --all and --changed, after so many "
    "minutes; what is left out is said.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"The folder of kept runs.  [default: {KEPT}, in the checkout]",
)
def prove(
    named: tuple[str, ...],
    every: bool,
    changed: bool,
    listed: bool,
    sample: int,
    runtime: str,
    full: bool,
    minutes: float | None,
    out: Path | None,
) -> None:
    """Measure labs and judge their claims.

    A claim that does not hold is measured once more, at full length, and both verdicts are shown.
    With --changed a kept run is replayed (`lab replay`) where nothing that measures has changed.
    Only the claims of labs on the list labs/steady.txt can make this command fail; those of the
    others are reported. Nothing else should run beside it.
    """
    from lab_services.runs import judging, last_verdicts

    if not (named or every or changed or listed or sample):
        raise click.UsageError("Name labs, or say --all, --changed, --steady or --sample N.")
    steady = judging.steady()
    chosen = choose(named, every or changed, steady if listed else [], sample, last_verdicts.now())
    proving = Proving(
        out or paths.repository() / KEPT,
        full=full,
        steady=steady,
        until=None if minutes is None else time.monotonic() + 60 * minutes,
    )
    runtimes = _runtimes(runtime)
    demanded = {*named, *(steady if listed else [])}
    due = choose(named, every, steady if listed else [], sample, last_verdicts.now())
    try:
        for lab in chosen:
            for each in runtimes:
                proving.measure(
                    lab, each, unless_it_stands=lab not in due, in_time=lab not in demanded
                )
    finally:
        click.echo(proving.report())
        click.echo(f"\nAsked for: {len(chosen)} of {len(labs.notebooks())} labs.")
    proving.settle()


def choose(
    named: Sequence[str], every: bool, listed: Sequence[str], sample: int, day: datetime
) -> list[str]:
    """The labs to measure, each once. Raises LabError for an unknown one."""
    there = list(labs.notebooks())
    for lab in named:
        labs.notebook(lab)
    if every:
        return there
    others = [lab for lab in there if lab not in named and lab not in listed]
    # One place further each day: the sample of the next day begins where this one ends.
    begin = day.toordinal() * sample
    turn = [others[(begin + place) % len(others)] for place in range(min(sample, len(others)))]
    return list(dict.fromkeys([*named, *listed, *turn]))


def _runtimes(wish: str) -> list[str]:
    """Containers first. Raises LabError where Docker is asked for and does not answer."""
    from lab_services.stack.choice import RUNTIMES, choose_runtime

    if wish != "both":
        return [choose_runtime(wish).runtime]
    from lab_services.stack.engine import available

    if not os.environ.get("CI") and not available()[0]:
        click.echo("No Docker engine answers here: plain processes alone.", err=True)
        return ["process"]
    return [choose_runtime(each).runtime for each in RUNTIMES]


@dataclass
class Proving:
    """Measures labs, one after the other, and keeps what has come of each."""

    out: Path
    full: bool
    steady: Sequence[str]
    until: float | None
    judged: list["Judgement"] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)

    def measure(
        self, lab: str, runtime: str, *, unless_it_stands: bool = False, in_time: bool = False
    ) -> None:
        """Judge a lab on a runtime, unless this machine lacks a server of it.

        With `unless_it_stands` not again where its last answer still stands, with `in_time` not
        after time is up. Raises LabError for a missing server where CI is set.
        """
        from lab_services.runs import inputs, judging, last_verdicts
        from lab_services.runs.notebook import Length
        from lab_services.stack.needs import missing_programs

        length = Length.FULL if self.full else Length.SHORT
        key, measuring = (inputs.inputs(lab, measuring=only).key for only in (False, True))
        before = last_verdicts.last(self.out, lab, runtime)
        last = f"last verdict: {before}" if before else "no verdict is kept here"
        missing = missing_programs(lab) if runtime == "process" else []
        if missing and os.environ.get("CI"):
            raise missing[0]
        if missing:
            why = str(missing[0]).replace("\n", " ")
        elif unless_it_stands and before and before.stands(key, length, last_verdicts.now()):
            why = "nothing that it executes has changed"
        elif in_time and self.until is not None and time.monotonic() > self.until:
            why = "no time was left"
        else:
            found = None
            if (
                unless_it_stands
                and before
                and before.measured_for(measuring, length, last_verdicts.now())
            ):
                # What it measures is as it was: only what is worked out from it has changed.
                found = judging.judge_again(lab, runtime, self.out, length)
            measured = before if found else None
            found = found or judging.judge(lab, runtime, self.out, length)
            self.judged.append(found)
            self._keep(found, length, key, measuring, measured)
            click.echo(f"{lab} on {runtime}: {found.outcome}", err=True)
            return
        self.left_out.append((lab, runtime, f"{why}; {last}"))

    def _keep(
        self,
        found: "Judgement",
        length: str,
        key: str,
        measuring: str,
        measured: "Answer | None",
    ) -> None:
        from lab_services.runs import last_verdicts
        from lab_services.runs.judging import Outcome

        last_verdicts.Answer(
            found.lab,
            found.runtime,
            length,
            str(found.outcome),
            found.outcome in (Outcome.HOLDS, Outcome.REPLAYED),
            key,
            last_verdicts.commit(),
            measured.when if measured else last_verdicts.now().isoformat(timespec="seconds"),
            measured.seconds if measured else found.runs[0].data["seconds"],
            measuring,
        ).keep(self.out)

    def report(self) -> str:
        """A table of all labs, then each claim that did not hold with what was measured."""
        from lab_services.report.claims import counted
        from lab_services.runs import judging

        rows = [("lab", "runtime", "list", "outcome", "claims", "took")]
        details = []
        for found in self.judged:
            runs = found.runs
            rows.append(
                (
                    found.lab,
                    found.runtime,
                    "steady" if found.lab in self.steady else "reported",
                    str(found.outcome),
                    "; again: ".join(counted(run.claims) or "none" for run in runs),
                    "" if found.replayed else f"{sum(run.data['seconds'] for run in runs):.0f} s",
                )
            )
            details += _details(found)
        for lab, runtime, why in self.left_out:
            rows.append((lab, runtime, "", "not run", why, ""))
        for lab in dict.fromkeys(found.lab for found in self.judged):
            last = [each.measured[-1] for each in self.judged if each.lab == lab and each.measured]
            details += [
                f"{lab}: holds on one runtime and fails on the other: {text}"
                for text in judging.disagreements(last)
            ]
        return "\n".join([columns(rows), *([""] if details else []), *details])

    def settle(self) -> None:
        """Raises ACellFails, else SteadyClaimFails, where one of them is so."""
        from lab_services.runs.judging import Outcome

        broken = [each for each in self.judged if each.outcome is Outcome.BROKEN]
        if broken:
            raise ACellFails(
                f"A cell fails in {', '.join(f'{e.lab} on {e.runtime}' for e in broken)}.",
                "\n".join(each.runs[-1].failed for each in broken),
            )
        red = (Outcome.TWICE, Outcome.LACKS)
        failed = [each for each in self.judged if each.outcome in red and each.lab in self.steady]
        if failed:
            raise SteadyClaimFails(
                "A claim that was proved steady does not hold, twice: "
                f"{', '.join(f'{each.lab} on {each.runtime}' for each in failed)}.",
                "Either the change made it false, or it was not steady: then it leaves the list.",
            )


def _details(found: "Judgement") -> list[str]:
    """Each claim that failed or lacked evidence in a run, with what each run says of it."""
    lines = []
    texts = [text for run in found.runs for text in (run.failing | run.lacking)]
    for text in dict.fromkeys(texts):
        lines.append(f"{found.lab} on {found.runtime}: {text}")
        for run in found.runs:
            if text in run.failing:
                told = f"fails, {run.failing[text]}"
            elif text in run.lacking:
                told = f"not enough evidence, {run.lacking[text]}"
            elif any(claim["text"] == text for claim in run.claims):
                told = "holds"
            else:
                told = "not claimed"
            lines.append(f"  {run.length}: {told}")
    if found.others is not None:
        lines.append(f"{found.lab} on {found.runtime}, second measurement: {found.others}")
    lines += [f"{run.length}: {run.failed}" for run in found.runs if run.failed]
    return lines
