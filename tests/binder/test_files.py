"""What binder/ and .devcontainer/ say, read by those who will read them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lab_services import paths

ROOT = paths.repository()
REQUIREMENTS = ROOT / "binder/requirements.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def export(root: Path) -> list[str]:
    """What the command in the file's head gives now."""
    (told,) = re.findall(r"^#    uv (export .*) -o \S+$", REQUIREMENTS.read_text(), re.MULTILINE)
    private = ROOT / ".uv/bin/uv"  # the Makefile's, where there is no other
    uv = str(private) if private.is_file() else "uv"
    given = subprocess.run(
        [uv, *told.split(), "--offline", "--quiet"],
        cwd=root,
        env={**os.environ, "UV_SKIP_WHEEL_FILENAME_CHECK": "1"},  # a lock changed by a test
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return lines(given.stdout)


def test_requirements_are_those_of_the_lock() -> None:
    """A reader on Binder who gets other versions than the tests had."""
    assert lines(REQUIREMENTS.read_text()) == export(ROOT)


def test_a_changed_lock_is_seen(tmp_path: Path) -> None:
    """A comparison that never differs."""
    for name in ("pyproject.toml", "uv.lock", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "lab_services").mkdir()
    lock = tmp_path / "uv.lock"
    text, changed = re.subn(
        r'(name = "orjson"\nversion = ")[^"]+', r"\g<1>0.0.1", lock.read_text(), count=1
    )
    assert changed
    lock.write_text(text)
    assert lines(REQUIREMENTS.read_text()) != export(tmp_path)


def test_no_tools_of_the_book_or_of_the_tests() -> None:
    """An image that takes minutes longer to start for what no lab uses."""
    installed = {Requirement(line).name for line in lines(REQUIREMENTS.read_text())}
    groups = PROJECT["dependency-groups"]
    named = {Requirement(line).name for group in ("book", "tests") for line in groups[group]}
    needed = {"beautifulsoup4", "pytest"}  # of JupyterLab, of Locust
    assert not installed & (named - needed)
    assert not [name for name in installed if name.startswith(("sphinx", "docutils"))]
    assert {"jupyterlab", "jupyter-server-proxy", "nbgitpuller", "onnxruntime"} <= installed


def test_repo2docker_reads_it_as_it_is_meant() -> None:
    """Files under names that repo2docker passes over without a word."""
    program = Path(sys.executable).with_name("jupyter-repo2docker")
    told = subprocess.run(
        [program, "--no-build", "--no-run", "--debug", str(ROOT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout
    python = (ROOT / "binder/runtime.txt").read_text().strip().removeprefix("python-")
    assert python in SpecifierSet(PROJECT["project"]["requires-python"])
    for wanted in (
        f"Building conda environment for python={python}",
        "install --yes --no-install-recommends prometheus",
        'pip install --no-cache-dir -r "binder/requirements.txt"',
        "RUN ./binder/postBuild",
        'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"',
    ):
        assert wanted in told


@pytest.mark.parametrize("script", ["postBuild", "start"])
def test_scripts_stop_at_an_error(script: str) -> None:
    """repo2docker goes on after a command that fails, and the reader finds out."""
    file = ROOT / "binder" / script
    assert file.stat().st_mode & 0o111 == 0o111
    assert "\nset -euo pipefail\n" in file.read_text()


def test_the_dev_container() -> None:
    """A container with a Python that the project does not take, or without its packages."""
    text = (ROOT / ".devcontainer/devcontainer.json").read_text()
    told = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    python = told["image"].rpartition(":")[2]
    assert python in SpecifierSet(PROJECT["project"]["requires-python"])
    assert told["postCreateCommand"].endswith("&& make env")
    assert told["forwardPorts"] == []
    assert any("docker-in-docker" in feature for feature in told["features"])


def test_the_address_of_the_repository() -> None:
    """Launch buttons without the repository that they open."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+", config["repository"]["url"])
    assert config["launch_buttons"]["notebook_interface"] == "jupyterlab"
