"""`lab --help`: at once, with examples, for every command."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from lab_services.command import cli


def commands(group: click.Group, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [words]
    for name, command in group.commands.items():
        inner = isinstance(command, click.Group)
        found += commands(command, (*words, name)) if inner else [(*words, name)]
    return found


@pytest.mark.parametrize("words", commands(cli), ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    """A command that says what it does and leaves how to call it to be guessed."""
    result = CliRunner().invoke(cli, [*words, "--help"], prog_name="lab")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"lab {' '.join(words)}".strip() in result.output.partition("Example")[2]


def test_help_imports_nothing_heavy() -> None:
    """`lab --help` that takes seconds because some command imports pandas."""
    code = (
        "import sys, lab_services.command\n"
        "heavy = {'docker', 'matplotlib', 'numpy', 'onnxruntime', 'pandas', 'papermill',"
        " 'scipy', 'sklearn', 'locust'}\n"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or 0)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_the_labs_are_listed() -> None:
    """A lab that the list does not know."""
    listed = CliRunner().invoke(cli, ["list"]).output
    assert "serving/web-single" in listed
