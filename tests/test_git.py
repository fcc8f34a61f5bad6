"""Git of this project: what it inherits, and that nothing starts one in another way."""

import ast
from pathlib import Path

import pytest

from lab_services import git, paths
from lab_services.errors import LabError


def test_nothing_of_a_hook_is_inherited() -> None:
    """A variable that leads Git to another repository, or one that Git needs to start at all."""
    inherited = {"GIT_DIR": "/elsewhere", "GIT_INDEX_FILE": "index", "PATH": "/bin"}
    assert git.environment(inherited, GIT_AUTHOR_NAME="us") == {
        "PATH": "/bin",
        "GIT_AUTHOR_NAME": "us",
    }


def test_git_stays_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository made or changed where a hook's variables lead."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
        git.git(tmp_path / name, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere/.git"))
    said = git.git(tmp_path / "here", "rev-parse", "--absolute-git-dir").strip()
    assert Path(said).resolve() == (tmp_path / "here/.git").resolve()


def test_what_git_complains_of_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that is taken for an empty answer, or a traceback where git is missing."""
    with pytest.raises(LabError, match=r"git rev-parse failed: fatal: .*nowhere"):
        git.git(tmp_path / "nowhere", "rev-parse")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="git cannot be started"):
        git.git(tmp_path, "status")


def starts_git(code: str) -> bool:
    """Whether a list or a tuple in it is a command line of git."""
    return '"git"' in code and any(
        isinstance(node, ast.List | ast.Tuple)
        and node.elts
        and isinstance(node.elts[0], ast.Constant)
        and node.elts[0].value == "git"
        for node in ast.walk(ast.parse(code))
    )


def test_nothing_else_starts_git() -> None:
    """One more Git, with an environment of its own making."""
    root = paths.repository()
    files = [*root.glob("lab_services/**/*.py"), *root.glob("tests/**/*.py")]
    found = {str(file.relative_to(root)) for file in files if starts_git(file.read_text())}
    # The second makes repositories to try the first on, with an environment that it has cleaned.
    assert found == {"lab_services/git.py", "tests/command/test_prove.py"}
