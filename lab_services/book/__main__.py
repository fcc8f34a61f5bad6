"""Build the book from the kept runs, and make the runs that are missing.

    python -m lab_services.book [--short] [--root FOLDER] [--runs FOLDER]

The site is _build/html. Exit code 0 only when every lab's run went through and Sphinx has not
warned of anything.
"""

import argparse
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

from lab_services import paths
from lab_services.book import sources
from lab_services.book.extension import RUNS
from lab_services.errors import LabError
from lab_services.report.claims import Verdict
from lab_services.report.engine import Progress
from lab_services.report.run import FILE, Run, execute


def build(root: Path, runs: Path, *, short: bool = False) -> int:
    """Build the site of `root` into its `_build/html`; gives Sphinx's exit code.

    Labs without a kept run, or changed since, are run on plain processes first (`short` with the
    parameters of their short mode). Raises LabError when a lab fails or a page or lab is missing.
    """
    chosen = [_run(root, runs, slug, short=short) for slug in sources.slugs(root)]
    staged = root / "_build" / "source"
    sources.stage(root, chosen, staged, RUNS)
    # -W: a warning is an error, a missing number as well as a broken link; all are reported.
    command = [str(Path(sysconfig.get_path("scripts")) / "jupyter-book"), "build", str(staged)]
    command += ["--path-output", str(root), "-n", "-W", "--keep-going"]
    return subprocess.run(command, check=False).returncode


def _run(root: Path, runs: Path, slug: str, *, short: bool) -> Run:
    run = sources.kept_run(root, runs, slug)
    if run is None:
        begin = time.monotonic()
        run = execute(
            root / "labs" / f"{slug}.ipynb",
            runtime="process",
            out=runs,
            short=short,
            progress=lambda step: _tell(slug, step),
        )
        _say(f"{slug}: run made in {time.monotonic() - begin:.0f} s")
    else:
        _say(f"{slug}: the kept run of {run.data['when']} on {run.runtime}")
    if run.failed:
        raise LabError(f"The lab's run has failed.\n{run.failed}", f"See {run.folder}/run.html.")
    if broken := [c["text"] for c in run.claims if c["verdict"] == Verdict.FAILS]:
        raise LabError(f"Claims of {slug} fail: {'; '.join(broken)}.", "Run the lab again.")
    return run


def _tell(slug: str, step: Progress) -> None:
    _say(f"{slug}: cell {step.cell} of {step.cells}: {step.heading}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab_services.book", description=__doc__)
    parser.add_argument("--short", action="store_true", help="run missing labs in short mode")
    parser.add_argument("--root", type=Path, default=paths.repository(), help="the repository")
    parser.add_argument("--runs", type=Path, help="where runs are kept; default: ROOT/runs")
    chosen = parser.parse_args(arguments)
    runs = chosen.runs or chosen.root / "runs"
    try:
        # Else every lab would be run anew, in minutes, since none is found where it is looked for.
        if any(runs.glob(f"*/*/{FILE}")):
            raise LabError(
                f"{runs} holds the runs of one runtime.", f"Give the folder above: {runs.parent}"
            )
        return build(chosen.root, runs, short=chosen.short)
    except LabError as error:
        _say(str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
