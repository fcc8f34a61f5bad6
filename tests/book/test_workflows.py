"""What runs on GitHub: with no more rights than it needs, and by commands that there are."""

import re
from typing import Any

import pytest
import yaml

from lab_services import paths

ROOT = paths.repository()
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
every_workflow = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def steps(file: Any) -> list[dict[str, Any]]:
    return [
        step for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]
    ]


@every_workflow
def test_only_the_deployment_may_write(file):
    """A build of somebody's change with the right to publish or to push."""
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    rights = {
        name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job
    }
    deploys = {"deploy": {"pages": "write", "id-token": "write"}} if file.stem == "pages" else {}
    assert rights == deploys
    for step in steps(file):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@every_workflow
def test_every_command_is_there(file):
    """A night that fails because a target was renamed."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {
        found
        for step in steps(file)
        for found in re.findall(r"make ([a-z-]+)", step.get("run", ""))
    }
    assert made <= targets
    assert made or file.stem not in ("ci", "nightly", "pages")
