"""Helpers of the lab `serving/serving-template`: what it reads off, and the theory."""

import os
import py_compile
import stat

import pandas as pd
import pytest
from plumbum import local

from lab_services import paths
from lab_services.errors import LabError
from lab_services.labs.serving.serving_template import lab, workshop
from lab_services.labs.serving.serving_template.lab import Cost
from lab_services.traffic.recording import Recording


@pytest.fixture(scope="module")
def bench():
    with workshop.Workshop() as made:
        yield made


@pytest.fixture(scope="module")
def board(bench):
    return bench.stamp("board", bench.folder / "test-board")


@pytest.fixture(autouse=True)
def models(monkeypatch):
    monkeypatch.setenv("MODELS", str(paths.models_dir()))
    monkeypatch.setenv("MODEL", "")  # set by what is stamped, and taken back after the test


# --- what is stamped -----------------------------------------------------------------------------


def test_the_fleet_in_the_repository_is_what_the_template_makes(bench):
    """A stamped service that somebody has changed, or a template that its fleet does not follow."""
    for folder in sorted((workshop.HERE / "fleet" / workshop.FIRST).iterdir()):
        made = bench.stamp(folder.name, bench.folder / "again" / folder.name)
        assert workshop.by_hand(made) == workshop.texts(folder)


def test_nothing_is_left_and_no_setting_of_the_user_is_touched(monkeypatch, tmp_path):
    """A commit that is signed, or hooks that run, because the user's git is set up so."""
    (tmp_path / "config").write_text("[commit]\n\tgpgsign = true\n[core]\n\thooksPath = /nowhere\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    with workshop.Workshop() as made:
        folder = made.folder
        author = workshop.git(made.template, "log", "-1", "--format=%an %G?")
        assert author.split() == ["serving", "template", "N"]
    assert not folder.exists()


def test_a_repository_of_the_readers_stays_as_it_is(monkeypatch, tmp_path):
    """Commits and tags in the repository of a Git hook that has started the lab: work lost."""
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "thesis").write_text("years of work")
    workshop.git(decoy, "init", "--quiet", "--initial-branch=main")
    workshop.commit(decoy, "work")

    def told() -> list[str]:
        return [
            workshop.git(decoy, *words)
            for words in (["log", "--all", "--format=%H"], ["tag"], ["status", "--porcelain"])
        ]

    before = told()
    led = {
        "GIT_DIR": str(decoy / ".git"),
        "GIT_WORK_TREE": str(decoy),
        "GIT_INDEX_FILE": str(decoy / ".git/index"),
    }
    for name, value in led.items():
        monkeypatch.setenv(name, value)
    # Copier starts git by plumbum, which has read the environment when it was imported.
    with local.env(**led), workshop.Workshop() as made:
        board = made.stamp("board", made.folder / "board")
        updated = made.update(board, made.folder / "updated", workshop.INCOMPATIBLE)
        assert updated.conflicts == 0
        assert workshop.git(board, "rev-parse", "--show-toplevel").strip() == str(board.resolve())
        assert local.env["GIT_DIR"] == led["GIT_DIR"]
    assert told() == before


def test_a_container_can_read_what_is_stamped():
    """A user whose files are nobody else's: containers found modules that they may not read."""
    before = os.umask(0o077)
    try:
        with workshop.Workshop() as made:
            folder = made.fleet / "1.0.0/board"
            made.stamp("board", folder)
            made.edit(folder, made.fleet / "edited/board", workshop.EDITS[0])
            places = [made.folder, made.fleet, *made.fleet.glob("**/[!.]*")]
            modes = {path: path.stat().st_mode for path in places if ".git" not in path.parts}
    finally:
        os.umask(before)
    assert len(modes) == 10
    for path, mode in modes.items():
        assert mode & 0o044 == 0o044 and (not stat.S_ISDIR(mode) or mode & 0o011 == 0o011), path


def test_there_are_answers_or_a_helpful_error():
    with pytest.raises(LabError, match="no answers for 'nobody'"):
        workshop.answers("nobody")


# --- updates -------------------------------------------------------------------------------------


def test_an_unchanged_service_becomes_what_would_be_stamped_anew(bench, board):
    updated = bench.update(board, bench.folder / "updated", workshop.INCOMPATIBLE)
    anew = bench.stamp("board", bench.folder / "anew", workshop.INCOMPATIBLE)
    assert updated.conflicts == 0
    assert workshop.texts(updated.folder) == workshop.texts(anew)


def test_a_service_that_has_run_is_updated(bench):
    """A lab that ends where Python keeps what it has compiled, which it does by default."""
    service = bench.stamp("board", bench.folder / "has run")
    py_compile.compile(str(service / "board.py"), doraise=True)
    assert (service / "__pycache__").is_dir()
    assert bench.update(service, bench.folder / "has run updated", "2.0.0").conflicts == 0


def test_a_change_stays_or_becomes_a_question(bench, board):
    by_name = {edit.name: edit for edit in workshop.EDITS}
    kept, asked_for = by_name["a limit of its own for Newark"], by_name["the airline in the log"]
    for edit, conflicts in ((kept, 0), (asked_for, 1)):
        copy = bench.edit(board, bench.folder / edit.name, edit)
        update = bench.update(copy, bench.folder / f"{edit.name} updated", "2.0.0")
        assert update.conflicts == conflicts
        text = (update.folder / "board.py").read_text()
        assert all(line in text for _, new in edit.changes for line in new.splitlines())


def test_every_change_can_be_made_and_no_other():
    text = (workshop.HERE / "fleet/1.0.0/board/board.py").read_text()
    assert len({edit.applied(text) for edit in workshop.EDITS}) == len(workshop.EDITS)
    with pytest.raises(LabError, match="is there 0 times"):
        workshop.Edit("none", [("no such line", "")]).applied(text)


# --- lines ---------------------------------------------------------------------------------------


def test_lines_are_counted_as_a_person_writes_them():
    assert workshop.lines("a\n\n  \nb\n") == 2
    before, after = {"board.py": "a\nb\nc\n"}, {"desk.py": "a\nB\nc\nd\n"}
    assert workshop.changed_lines(before, after) == 2
    assert workshop.changed_lines(before, {"board.py": "a\n"}) == 0
    with pytest.raises(ValueError):
        workshop.changed_lines(before, after | {"compose.yaml": "e\n"})


def test_where_the_template_pays():
    template, copies = Cost(80, 5), Cost(50, 10)
    assert lab.pays_from(template, copies) == 7
    assert template.of(7) == copies.of(7) == 110
    after = Cost(80, 5, 10), Cost(50, 10, 5, by_service=True)
    assert lab.pays_from(*after) == 4.5
    assert lab.pays_from(template, Cost(50, 5)) == float("inf")
    assert lab.pays_from(Cost(40, 5), copies) == 1


def test_what_the_contract_says_is_summed_up():
    found = {"a/x": {"health": True, "predict": False}, "a/y": {"health": True, "predict": True}}
    inside = lab.below(found, "a")
    assert list(inside) == ["x", "y"]
    assert lab.shares(inside) == {"health": 1.0, "predict": 0.5}
    assert (lab.broken(inside), lab.breaking(inside)) == (1, 1)
    with pytest.raises(LabError, match="nothing below b"):
        lab.below(found, "b")


def test_requests_are_counted_by_what_became_of_them():
    table = pd.DataFrame(
        {
            "intended": [0.0, 1.0, 2.0, 3.0],
            "status": [200, 500, 502, 0],
            "service": ["a", "a", "b", "b"],
            "warmup": False,
        }
    )
    recording = Recording(table, begin=0.0, seconds=4.0)
    assert list(lab.kinds(table)) == ["answered", "failed", "not understood", lab.AWAY]
    assert lab.count(recording, "failed") == 1
    assert lab.count(recording, "failed", ["b"]) == 0
    assert lab.share(recording, "failed", ["a"]).value == 0.5
