"""Page, lab and stack of a chapter lie in one group, and the contents list them there."""

from pathlib import Path

import pytest

from lab_services.book import chapters

TOC = """format: jb-book
root: book/index
parts:
  - caption: Serving
    chapters:
      - file: book/serving/b-two
        sections:
          - file: labs/serving/b-two
      - file: book/serving/a-one
        sections:
          - file: labs/serving/a-one
"""
PAGE = "book/serving/a-one.md"
LAB = "labs/serving/a-one.ipynb"
STACK = "lab_services/patterns/serving/a_one/compose.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two chapters of one group, whole."""
    (tmp_path / "_toc.yml").write_text(TOC)
    for file in (PAGE, LAB, STACK):
        for name in (file, file.replace("a-one", "b-two").replace("a_one", "b_two")):
            put(tmp_path, name)
    put(tmp_path, "book/index.md")
    return tmp_path


def put(root: Path, name: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()


def move(root: Path, name: str, to: str) -> None:
    put(root, to)
    (root / name).unlink()


def problems(root: Path) -> str:
    with pytest.raises(chapters.BookIncomplete) as raised:
        chapters.slugs(root)
    return raised.value.message


def test_chapters_come_in_the_order_of_the_contents(root):
    """A book whose build, numbers and claims stand in an order of their own."""
    assert chapters.slugs(root) == ["serving/b-two", "serving/a-one"]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (PAGE, f"{LAB} has no page {PAGE}."),
        (LAB, f"{PAGE} has no lab {LAB}."),
        (STACK, f"{PAGE} has no stack {STACK}."),
    ],
)
def test_a_part_that_is_missing_is_named(root, gone, said):
    """Half a chapter."""
    (root / gone).unlink()
    assert problems(root) == said


def test_a_stack_alone_is_named(root):
    """A stack that nobody explains."""
    put(root, "lab_services/patterns/training/alone/compose.yaml")
    assert "training/alone/compose.yaml has no page book/training/alone.md." in problems(root)


@pytest.mark.parametrize("part", [PAGE, LAB, STACK])
def test_a_part_in_another_group_is_named_with_the_others(root, part):
    """A page in one group and its lab in another, told as three chapters that miss something."""
    moved = part.replace("/serving/", "/qa/")
    move(root, part, moved)
    said = problems(root)
    assert said.startswith("A chapter lies in one group, but a-one in several: ")
    assert "\n" not in said
    for file in ({PAGE, LAB, STACK} - {part}) | {moved}:
        assert file in said


def test_a_group_that_the_book_does_not_have_is_named(root):
    """A chapter in a folder with a slip of the pen, complete in itself."""
    for part in (PAGE, LAB, STACK):
        move(root, part, part.replace("/serving/", "/servings/"))
    said = problems(root)
    for part in (PAGE, LAB, STACK):
        assert f"{part.replace('/serving/', '/servings/')}: there is no group 'servings'" in said
    assert "the groups are serving, qa, training, operation, lifecycle" in said


def test_a_chapter_under_the_heading_of_another_group_is_named(root):
    """A chapter on serving that the contents show under training."""
    toc = TOC.replace("caption: Serving", "caption: Training")
    (root / "_toc.yml").write_text(toc)
    assert (
        "_toc.yml lists book/serving/a-one under 'Training', but its group is 'serving'."
        in problems(root)
    )


@pytest.mark.parametrize("left", ["book/serving/a-one", "labs/serving/a-one"])
def test_a_part_outside_the_contents_is_named(root, left):
    """A page or a lab that was written and is not in the book."""
    (root / "_toc.yml").write_text(TOC.replace(left, "book/index"))
    assert f"{left} is not in _toc.yml." in problems(root)


def test_a_copy_that_jupyter_keeps_is_no_chapter(root):
    """A book that is not built because somebody has the labs open."""
    put(root, "labs/.ipynb_checkpoints/a-one-checkpoint.ipynb")
    assert len(chapters.slugs(root)) == 2
