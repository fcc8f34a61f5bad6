"""Whether the claims of labs hold on other machines than this one, made here as profiles."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab_services import paths
from lab_services.command import labs
from lab_services.command.run import ACellFails, AClaimFails, NotEnoughEvidence
from lab_services.command.stacks import runtime_option
from lab_services.errors import LabError
from lab_services.terminal.text_table import columns

if TYPE_CHECKING:
    from lab_services.runs.profiles import Profile
    from lab_services.runs.repeated_runs import RepeatedRuns
    from lab_services.runs.steadiness import ClaimRecord, Tally

KEPT = Path("runs/steady")  # where a book built of `runs` finds the records


@click.command(
    epilog="""\b
    Examples:
      lab steady serving/web-single
      lab steady serving/web-single --runs 5 --short --runtime process
      lab steady serving/web-single qa/loading-test --profile quiet --profile busy
      lab steady serving/web-single --runs 20 --minutes 60

    \b
    Profiles:
      quiet     this machine as it is
      one-core  all that belongs to the lab on one core
      half      all that belongs to the lab on one core, for half of the time
      busy      something else keeps one core busy
      bursts    something else takes all cores for 0.2 s, every 2 s

    \b
    Exit codes:
      0  every claim holds in every run
      1  it could not be done; the message says why
      3  a claim fails on one profile at least
      4  none fails, but for one at least there was not enough evidence in some run
      5  a cell fails in some run
    """
)
@click.argument("named", nargs=-1, required=True, metavar="LAB...")
@click.option(
    "--runs", "wanted", type=int, default=3, show_default=True, help="Runs on each profile."
)
@click.option(
    "--profile",
    "on",
    multiple=True,
    metavar="PROFILE",
    help="May be given several times.  [default: all that can be made here]",
)
@runtime_option
@click.option("--short", is_flag=True, help="Just long enough to judge the claims by.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    help="Begin with no further run after so many minutes; the same command goes on another time.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"The folder of kept runs and records.  [default: {KEPT}, in the checkout]",
)
def steady(
    named: tuple[str, ...],
    wanted: int,
    on: tuple[str, ...],
    runtime: str,
    short: bool,
    minutes: float | None,
    out: Path | None,
) -> None:
    """Repeat labs on other machines, made here: do their claims hold there, and how narrowly?

    Says of each claim how often it held, failed or lacked evidence, how far its measured values
    spread between runs, and how many of those spreads the nearest bound is away. After an interrupt
    the same command goes on where it was. Nothing else should run beside it.
    """
    from lab_services.runs.notebook import Length
    from lab_services.runs.repeated_runs import RepeatedRuns
    from lab_services.stack.choice import choose_runtime

    if wanted < 1:
        raise LabError(f"{wanted} runs show nothing.", "Ask for one at least: --runs 3.")
    chosen = choose_runtime(runtime).runtime
    profiles = _profiles(on, chosen)
    length = Length.SHORT if short else Length.FULL
    found = []
    for lab in dict.fromkeys(named):
        _demand(lab, chosen)
        found.append(RepeatedRuns.of(out or paths.repository() / KEPT, lab, chosen, length))
    until = math.inf if minutes is None else time.monotonic() + 60 * minutes
    try:
        if left := _repeat(found, profiles, wanted, until):
            click.echo(f"No time was left for {left} of the runs.", err=True)
    finally:
        for each in found:
            click.echo(report(each, profiles))
    settle(found, profiles)


def _profiles(names: Sequence[str], runtime: str) -> list["Profile"]:
    """Those that are named, else all that can be made. Raises LabError for one that cannot be."""
    from lab_services.runs import profiles

    if names:
        asked = [profiles.named(name) for name in dict.fromkeys(names)]
        for profile in asked:
            profiles.demand(profile, runtime)
        return asked
    for profile in profiles.Profile:
        if why := profiles.why_not(profile, runtime):
            click.echo(f"Without the profile {profile}: {why}.", err=True)
    return profiles.can_be_made(runtime)


def _demand(lab: str, runtime: str) -> None:
    """Raises LabError for a lab that there is not, or for which this machine lacks a server."""
    from lab_services.stack.needs import missing_programs

    if lab.endswith(".ipynb"):
        return
    labs.notebook(lab)
    if runtime == "process" and (missing := missing_programs(lab)):
        raise missing[0]


def _repeat(
    found: Sequence["RepeatedRuns"], profiles: Sequence["Profile"], wanted: int, until: float
) -> int:
    """Make the runs that are not kept yet, none of which begins later; gives how many are left.

    In rounds, so that what changes on this machine in an hour changes for all profiles alike.
    """
    from lab_services.report.claims import counted

    left = 0
    for number in range(1, wanted + 1):
        for repeated in found:
            for profile in profiles:
                if len(repeated.runs(profile)) >= number:
                    continue
                if time.monotonic() > until:
                    left += 1
                    continue
                click.echo(f"\n{profile}, run {number} of {wanted}", err=True)
                run = repeated.measure(profile)
                told = "a cell fails" if run["failed"] else counted(run["claims"])
                click.echo(f"{profile}, run {number} of {wanted}: {told}", err=True)
    return left


def report(repeated: "RepeatedRuns", profiles: Sequence["Profile"]) -> str:
    """A table of the profiles, one of the claims, then each that did not hold in every run."""
    from lab_services.runs.steadiness import claims

    kept = {profile: repeated.runs(profile) for profile in profiles}
    rows: list[tuple[str, ...]] = [("profile", "runs", "a cell fails", "others took", "how")]
    for profile, runs in kept.items():
        broken = sum(bool(run["failed"]) for run in runs)
        most = f"{max(run['others'] for run in runs):.0%}" if runs else ""
        rows.append(
            (profile, str(len(runs)), str(broken), most, runs[-1]["how"] if runs else "no run yet")
        )
    text = f"\n{repeated.slug} on {repeated.runtime}, {repeated.length} length\n{columns(rows)}"
    found = claims(run for runs in kept.values() for run in runs)
    if not found:
        return text
    lines: list[tuple[str, ...]] = [
        ("held", "failed", "lacked", "mean", "spread", "to the bound", "worst on", "claim")
    ]
    lines += [(*_numbers(each.all), each.worst, each.text) for each in found]
    text = f"{text}\n\n{columns(lines)}"
    for each in found:
        if each.all.held < each.all.drawn:
            text += f"\n\n{_details(each)}"
    return text


def _details(claim: "ClaimRecord") -> str:
    """What the runs on each profile have found of a claim."""
    rows = [(f"  {profile}", *_numbers(found)) for profile, found in claim.on.items()]
    return f"{claim.text}, claimed {claim.bound}:\n{columns(rows)}"


def _numbers(found: "Tally") -> tuple[str, ...]:
    from lab_services.report import numbers

    def written(value: float | None) -> str:
        return "" if value is None else numbers.written(value, found.unit)

    spread = "" if found.spread is None else f"{written(found.spread)} ({found.spread_is})"
    room = "" if found.room is None else f"{found.room:.1f} spreads"
    counts = (f"{found.held} of {found.drawn}", str(found.failed), str(found.lacked))
    return (*counts, written(found.mean), spread, room)


def settle(found: Sequence["RepeatedRuns"], profiles: Sequence["Profile"]) -> None:
    """Raises ACellFails, else AClaimFails, else NotEnoughEvidence, where a run gives cause to."""
    from lab_services.runs.steadiness import claims

    broken, failed, lacked = [], [], []
    kept = found[0].out / "kept"
    for repeated in found:
        runs = [run for profile in profiles for run in repeated.runs(profile)]
        broken += [f"on {run['profile']}: {run['failed']}" for run in runs if run["failed"]]
        for claim in claims(runs):
            for profile, on in claim.on.items():
                told = f"{repeated.slug} on {profile}: {claim.text}"
                if on.failed:
                    failed.append(f"{told}: {on.failed} of {on.drawn} runs")
                elif on.lacked:
                    lacked.append(f"{told}: {on.lacked} of {on.drawn} runs")
    if broken:
        again = (
            f"Kept runs are not made again: if the machine was at fault, remove them from {kept}."
        )
        raise ACellFails(f"A cell fails in {len(broken)} runs.", "\n".join([*broken, again]))
    if failed:
        raise AClaimFails("Claims fail.", "\n".join(failed))
    if lacked:
        raise NotEnoughEvidence("There was not enough evidence for claims.", "\n".join(lacked))
