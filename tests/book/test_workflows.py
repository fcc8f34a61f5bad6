"""What runs on GitHub: with no more rights than it needs, and by commands that there are."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab_services import paths

ROOT = paths.repository()
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
every_workflow = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
# The jobs of the night that others see the outcome of, and what they write to.
MAY_WRITE = {
    "nightly": {
        "keep": {"contents": "write"},
        "deploy": {"pages": "write", "id-token": "write"},
    }
}


def jobs(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text())["jobs"])


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(file).values() for step in job["steps"]]


def lint(root: Path) -> str:
    """What actionlint says of the workflows below `root`, and of the actions that they use."""
    program = Path(sys.executable).with_name("actionlint")
    # Not what this machine has besides: its answer would be another elsewhere.
    command = [program, "-no-color", "-shellcheck=", "-pyflakes="]
    return subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True).stdout


def test_workflows_and_actions_are_sound() -> None:
    """A slip that is seen after the merge only: a need, an output, an input that there is not."""
    assert lint(ROOT) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("needs: [plan, image]", "needs: [plan, picture]"),
        ("needs.plan.outputs.shards", "needs.plan.outputs.shard"),
        ("image: ${{ needs.plan.outputs.image }}", "picture: ${{ needs.plan.outputs.image }}"),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-14.04"),
    ],
)
def test_slips_are_found(tmp_path: Path, right: str, wrong: str) -> None:
    """A linter that finds no file, or does not look into it."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    (tmp_path / ".git").mkdir()
    assert lint(tmp_path) == ""
    file = tmp_path / ".github/workflows/ci.yml"
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    assert "ci.yml:" in lint(tmp_path)


@every_workflow
def test_a_job_may_write_only_what_is_its_purpose(file: Path) -> None:
    """A build of somebody's change with the right to publish or to push."""
    assert yaml.safe_load(file.read_text())["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in jobs(file).items() if "permissions" in job}
    assert rights == MAY_WRITE.get(file.stem, {})
    for step in steps(file):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@every_workflow
def test_no_job_goes_on_for_six_hours(file: Path) -> None:
    """A hanging job that holds a machine, and with it the group's next run."""
    assert all(job["timeout-minutes"] <= 180 for job in jobs(file).values())
    assert yaml.safe_load(file.read_text())["concurrency"]["group"]


@every_workflow
def test_no_failure_is_lost_in_a_pipe(file: Path) -> None:
    """A step that passes although its first program has failed: the shell has no `pipefail`."""
    assert not [
        step["run"] for step in steps(file) if re.search(r"[^|]\|[^|]", step.get("run", ""))
    ]


@pytest.mark.parametrize(
    "file", [*FILES, *ACTIONS], ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_actions_of_others_are_of_one_commit(file: Path) -> None:
    """An action that is another tomorrow: a tag can be moved, `@main` moves by itself."""
    used = re.findall(r"uses: (.+)", file.read_text())
    pinned = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert used and all(pinned.fullmatch(each) or each.startswith("./") for each in used)


def test_one_check_waits_for_every_job() -> None:
    """A job that fails while the change is merged: only `gate` is required of it."""
    (file,) = (each for each in FILES if each.stem == "ci")
    others = jobs(file)
    gate = others.pop("gate")
    assert set(gate["needs"]) == set(others)
    # Without it the check is skipped where a job fails, and what is skipped has not failed.
    assert gate["if"] == "always()"
    assert not [name for name, job in others.items() if job.get("continue-on-error")]


@every_workflow
def test_labs_are_measured_alone_and_published_by_the_night(file: Path) -> None:
    """Tests beside a measurement; a book of other runs than the night's."""
    told = jobs(file)
    proving = {name for name, job in told.items() if "make prove" in str(job["steps"])}
    assert proving == {"labs"}
    (made,) = (s["run"] for s in told["labs"]["steps"] if "make" in s.get("run", ""))
    assert "make prove" in made and "--runtime both" in made
    published = [name for name, job in told.items() if "--publish" in str(job["steps"])]
    if file.stem == "nightly":
        assert published == ["book"] and set(told["book"]["needs"]) == {"labs", "steady"}
        repeating = {name for name, job in told.items() if "lab steady" in str(job["steps"])}
        assert repeating == {"steady"} and "make test" not in str(told["steady"]["steps"])
        assert "--full" in made and "if" not in told["book"]
        assert set(told["deploy"]["needs"]) == {"test", "book"}
    else:
        assert published == []


@every_workflow
def test_every_command_is_there(file: Path) -> None:
    """A night that fails because a target or a script was renamed."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = "\n".join(step.get("run", "") for step in steps(file))
    made = set(re.findall(r"make ([a-z-]+)", told))
    assert made and made <= targets
    for script in re.findall(r"\.github/[a-z_.]+", told):
        assert (ROOT / script).is_file()
    from lab_services.command import cli

    assert set(re.findall(r"bin/lab ([a-z]+)", told)) <= set(cli.commands)
