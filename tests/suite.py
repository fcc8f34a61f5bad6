"""Whether the software is right, step by step, and a summary with times: what `make test` runs.

A step that fails does not keep the next from being run. Exit code 0 only when all pass. Of some
thousand tests that start real servers one may be unlucky on a busy machine: a few that fail are run
again with nothing beside them, are told either way, and fail the step when they fail twice. What is
missing on this machine is named at the end with the way to get it; tests that need it are skipped,
and fail where CI is set. Whether claims hold is another question: `make prove`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab_services import ending
from lab_services.command.checks import State, from_outside

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "_build" / "suite"  # which tests have failed, of the step that runs
AGAIN = 5  # failing tests that may be bad luck; more of them are none
APART = ("notebooks", "browser", "binder")
PYTEST = ("pytest", "-o", f"cache_dir={CACHE}")
UNITS = (*PYTEST, "--durations=20", "--durations-min=2")


def alone() -> list[str]:
    """The files that hold a test marked `alone`: all others take long to import."""
    files = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))
    units = [file for file in files if file.parts[1] not in APART]
    return [str(file) for file in units if "pytest.mark.alone" in (ROOT / file).read_text()]


PARALLEL = ("-n", "logical", "--maxprocesses=4", "--dist=loadgroup")
STEPS = {
    "style": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "types": ("mypy",),
    "units": (*UNITS, "-m", "not alone", *PARALLEL, *(f"--ignore=tests/{name}" for name in APART)),
    "units alone": (*UNITS, "-m", "alone", *alone()),
    # -s: labs take minutes, and say where they are. Nothing is judged, so they may disturb another.
    "labs": (*PYTEST, "-s", *PARALLEL, "tests/notebooks"),
    # Built from the runs that the labs have just kept.
    "book": (*PYTEST, "tests/browser"),
    "binder": (*PYTEST, "-s", "tests/binder"),
}


def main() -> int:
    """Run the steps; 1 when one fails."""
    ending.by_exception()
    ending.with_parent()
    # Hundreds of processes import the same modules, and each would compile them anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    lines, unsteady, failed = [], [], False
    for name, (program, *words) in STEPS.items():
        say(f"\n== {name}: {program} {' '.join(words)}")
        begin = time.monotonic()
        code, twice = step([str(BIN / program), *words])
        failed = failed or code != 0
        unsteady += twice if code == 0 else []
        verdict = "passed" if code == 0 else "FAILED"
        lines.append(f"{verdict}  {time.monotonic() - begin:6.1f} s  {name}")
    say("\n" + "\n".join(lines))
    if unsteady:
        say("\nFailed at first, and passed when run again with nothing beside:")
    for test in unsteady:
        say(f"  {test}")
    lacking = [each for each in from_outside() if each.state is not State.OK]
    if lacking:
        say(
            "\nNot on this machine, so the tests that need it were skipped (with CI set they fail):"
        )
    for each in lacking:
        say(f"{each.what}: {each.text}\n  {each.remedy}")
    return int(failed)


def step(command: list[str]) -> tuple[int, list[str]]:
    """Run a step; the exit code, and the tests that were run twice."""
    if Path(command[0]).name != "pytest":
        return run(command), []
    code = run([*command, "--cache-clear"])
    if code != pytest.ExitCode.TESTS_FAILED:
        return code, []
    tests = sorted(json.loads((CACHE / "v" / "cache" / "lastfailed").read_text()))
    if len(tests) > AGAIN:
        return code, []
    say(f"\n-- again, with nothing beside: {' '.join(tests)}")
    # In a worker still where there were some: only there a test of a group has the same name.
    one = ["-n", "1"] if "-n" in command else []
    return run([*command, *one, "--last-failed"]), tests


def run(command: list[str]) -> int:
    """Run to the end; gives the exit code. Whoever ends us ends first what it has started."""
    # In a group of its own: of Ctrl-C it hears once, from here, and not in the midst of its end.
    with subprocess.Popen(
        command, cwd=ROOT, process_group=0, preexec_fn=ending.with_parent
    ) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            raise


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
