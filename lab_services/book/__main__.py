"""Build the book from the kept runs, and make the runs that are missing.

    python -m lab_services.book [--runtime RUNTIME]... [--short] [--again] [--runs FOLDER]
                                [--publish] [--published FILE] [--serve [PORT]]

The site is _build/html. Exit code 0 only when Sphinx has not warned of anything. A claim that does
not hold here is shown as what it is, a lab that did not come to its end is a gap with the reason,
and both are listed at the end; --again measures them once more. Only --publish, for a site that
others read, demands that every claim holds. With --published, which names the claims.json of a
published site, a page shows beside a claim that does not hold here what was measured there.
"""

import argparse
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from lab_services import ending, paths, writing
from lab_services.book import catalogue, chapters, jupyter_book, published, serve, sources
from lab_services.book.from_run import LESS
from lab_services.errors import LabError
from lab_services.report import numbers
from lab_services.report.claims import counted
from lab_services.runs import steadiness
from lab_services.runs.execution import execute
from lab_services.runs.notebook import Length
from lab_services.runs.run import FILE, Run
from lab_services.terminal.text_table import columns

# MyST-NB gives line 3 of the fifth cell as 50003.
_CELL = 10_000


def build(
    root: Path,
    runs: Path,
    *,
    runtimes: Sequence[str] = (),
    length: Length = Length.FULL,
    again: bool = False,
    publish: bool = False,
    compared_with: Path | None = None,
) -> int:
    """Build the site of `root` into its `_build/html`; gives Sphinx's exit code.

    A lab must have a run of each of the `runtimes`, or of any if none is named, made from the lab
    as it is now and without a failing cell; with `again` also one in which every claim holds. What
    is missing is made first, in this `length`, and on plain processes if none is named. A lab in
    which a cell fails again is a gap in its pages. What does not hold is `compared_with` the claims
    of a published book, if their file is named. Raises LabError when a chapter is not whole, and
    when what is to be published has a gap or a claim that does not hold.
    """
    catalogue.check(root)
    writing.ready(root / "_build", "Build the book in a checkout that you may write to.")
    compared = published.read(compared_with) if compared_with else {}
    begin = time.monotonic()
    chosen, rows = [], [("lab", "runtime", "run", "took", "claims")]
    doubtful: list[tuple[Run, str]] = []
    for slug in chapters.slugs(root):
        kept = sources.kept_runs(root, runs, slug)
        there = {run.runtime for run in kept if run.ok or not again}
        asked = runtimes or [run.runtime for run in kept] or ["process"]
        made_now = [
            execute(str(root / "labs" / f"{slug}.ipynb"), runtime, runs, length=length)
            for runtime in asked
            if runtime not in there
        ]
        broken = [run for run in made_now if run.failed]
        doubtful += [(run, f"it did not come to its end: {run.failed}") for run in broken]
        found = sources.kept_runs(root, runs, slug) or broken[:1]
        for run in found:
            doubts = run.failing | run.lacking
            doubtful += [(run, f"{text}: {reason}") for text, reason in doubts.items()]
            if publish and run.length is not Length.FULL:
                doubtful.append((run, f"it was {LESS[run.length]}, and readers ask for a full one"))
            # Where the new run broke off, the old one is shown.
            made = "made now" if run.folder in [new.folder for new in made_now] else "kept"
            claims = "a cell fails" if run.failed else counted(run.claims)
            rows.append((slug, run.runtime, made, _seconds(run.data["seconds"]), claims))
        chosen.append(found)
    labs = time.monotonic() - begin
    code = _sphinx(root, chosen, compared, runs / steadiness.FOLDER)
    _say(f"\n{columns(rows)}\n")
    site = time.monotonic() - begin - labs
    _say(f"labs {_seconds(labs)}, site {_seconds(site)}" + (": FAILED" if code else ""))
    if told := _told(doubtful, runs):
        if publish:
            raise LabError(f"This book is not to be published.\n{told}")
        _say(f"\n{told}")
    return code


def _told(doubtful: Sequence[tuple[Run, str]], runs: Path) -> str:
    """What does not hold on this machine, and how to measure it again; nothing where all holds."""
    if not doubtful:
        return ""
    lines = [f"  {run.lab} on {run.runtime}: {text}" for run, text in doubtful]
    one = {f"  lab run {run.lab} --runtime {run.runtime} --out {runs}": None for run, _ in doubtful}
    return "\n".join(
        [
            "These do not hold here, and their pages show it:",
            *lines,
            "Measure one of them again:",
            *one,
            "Measure all of them again, and build:",
            "  make book BOOK=--again",
        ]
    )


def _sphinx(
    root: Path,
    chosen: list[list[Run]],
    compared: Mapping[str, published.PublishedLab],
    steady: Path,
) -> int:
    staged = root / "_build" / "source"
    sources.stage(root, chosen, staged, compared, steady)
    site = root / "_build" / "html"
    code = jupyter_book.build(staged, site, rewrite=lambda line: located(line, staged))
    if code:
        # Else the next build would take the pages as read, warn of nothing and pass.
        shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)
    else:
        published.write([shown for shown, *_ in chosen], site)
    return code


def located(line: str, staged: Path) -> str:
    """A warning's place as somebody who writes the book knows it: the file in git, and the cell."""

    def cell(found: re.Match[str]) -> str:
        place, row = divmod(int(found[2]), _CELL)
        return f"{found[1]}, cell {sources.own_cell(staged / found[1], place)}:{row}:"

    line = line.replace(f"{staged}/", "")
    return re.sub(rf"(labs/\S+\.ipynb):(\d{{{len(str(_CELL))},}}):", cell, line)


def _seconds(seconds: float) -> str:
    return numbers.written(float(seconds), "s")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab_services.book", description=__doc__)
    parser.add_argument(
        "--runtime", action="append", choices=list(sources.RUNTIMES), help="ask for a run on this"
    )
    parser.add_argument("--short", action="store_true", help="run missing labs in short mode")
    parser.add_argument(
        "--again", action="store_true", help="measure anew where a claim does not hold"
    )
    parser.add_argument(
        "--publish", action="store_true", help="fail unless every claim holds, after the build"
    )
    parser.add_argument(
        "--published", type=Path, metavar="FILE", help="claims.json of a site to compare with"
    )
    parser.add_argument("--root", type=Path, default=paths.repository(), help="the repository")
    parser.add_argument("--runs", type=Path, help="where runs are kept; default: ROOT/runs")
    parser.add_argument(
        "--serve", type=int, nargs="?", const=serve.PORT, metavar="PORT", help="then show the site"
    )
    chosen = parser.parse_args(arguments)
    runs = chosen.runs or chosen.root / "runs"
    try:
        # Else every lab would be run anew, in minutes, since none is found where it is looked for.
        if any(runs.glob(f"*/*/{FILE}")):
            raise LabError(
                f"{runs} holds the runs of one runtime.", f"Give the folder above: {runs.parent}"
            )
        make = partial(
            build,
            chosen.root,
            runs,
            runtimes=chosen.runtime or (),
            length=Length.SHORT if chosen.short else Length.FULL,
            again=chosen.again,
            publish=chosen.publish,
            compared_with=chosen.published,
        )
        if chosen.serve is None:
            return make()
        # A taken port is told at once, and not after the build.
        with serve.Server(chosen.root / "_build" / "html", chosen.serve) as server:
            if code := make():
                return code
            with suppress(KeyboardInterrupt):
                _say(f"http://127.0.0.1:{server.server_port} shows it. Ctrl-C ends.")
                server.serve_forever()
        return 0
    except KeyboardInterrupt:
        _say("Interrupted.")
        return ending.INTERRUPTED
    except LabError as error:
        _say(str(error))
        return error.exit_code


if __name__ == "__main__":
    ending.by_exception()
    sys.exit(main())
