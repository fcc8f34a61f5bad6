"""`lab inputs`: what a lab executes, for people and for programs."""

from click.testing import CliRunner

from lab_services.command import cli
from lab_services.runs.inputs import inputs

LAB = "serving/web-single"


def test_the_files_stand_in_their_groups() -> None:
    """A list of a hundred files in which the lab's own are not found; a file left out of it."""
    ended = CliRunner().invoke(cli, ["inputs", LAB])
    assert ended.exit_code == 0
    key, *lines = ended.output.splitlines()
    found = inputs(LAB)
    assert key == f"key: {found.key}"
    assert sorted(line.strip() for line in lines if line.startswith("  ")) == [
        file.as_posix() for file in found.files
    ]
    groups: dict[str, list[str]] = {}
    for line in filter(None, lines):
        if line.startswith("  "):
            groups[list(groups)[-1]].append(line.strip())
        else:
            groups[line] = []
    assert list(groups) == ["notebook:", "chapter:", "shared packages:", "image and lock:"]
    assert groups["notebook:"] == [f"labs/{LAB}.ipynb"]
    assert "lab_services/patterns/serving/web_single/envoy.yaml" in groups["chapter:"]
    assert "lab_services/stack/supervisor_process.py" in groups["shared packages:"]
    assert {"uv.lock", "lab_services/stack/image/Dockerfile"} <= set(groups["image and lock:"])


def test_the_key_alone() -> None:
    """A program that has to search for the key."""
    assert CliRunner().invoke(cli, ["inputs", LAB, "--key"]).output == f"{inputs(LAB).key}\n"


def test_an_unknown_lab() -> None:
    """A slip of the pen that is answered with a traceback, or with nothing."""
    ended = CliRunner().invoke(cli, ["inputs", "serving/web-singel"])
    assert ended.exit_code == 1
    assert "There is no lab 'serving/web-singel'." in ended.output
    assert "serving/web-single" in ended.output.splitlines()[-1]
