"""`lab new`: the files of a chapter that already runs and passes every gate."""

import re
from pathlib import Path

import click

from lab_services import paths, writing
from lab_services.book import catalogue
from lab_services.errors import LabError
from lab_services.paths import GROUPS

_TEMPLATES = Path(__file__).parent / "chapter"
_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@click.command(
    "new",
    epilog="""\b
    Examples:
      lab new serving/prediction-cache
      lab new qa/loading-test --title "Loading test"
    """,
)
@click.argument("lab")
@click.option("--title", help="The chapter's title; else the catalogue's, or made of the slug.")
def new(lab: str, title: str | None) -> None:
    """Make a page, a lab, a stack and a test for LAB (group/slug), ready to run.

    What they hold is a small working chapter, there to be replaced bit by bit.
    """
    root = paths.repository()
    for file in make(root, lab, title):
        click.echo(file)
    known = catalogue.entries(root)
    if known and lab not in known:
        click.echo(
            f"\n{catalogue.FILE} does not know {lab}: give it an entry, or no book is built."
        )
    click.echo(f"\nNow: lab run labs/{lab}.ipynb --short")


def make(root: Path, lab: str, title: str | None = None) -> list[Path]:
    """Write the chapter's files below `root`; gives those that are new, relative to it.

    Raises LabError, with nothing written, for a name that is no group and slug, or is taken, and
    where nothing can be written.
    """
    group, _, slug = lab.partition("/")
    if group not in GROUPS or not _SLUG.fullmatch(slug):
        raise LabError(
            f"{lab!r} is not a group and a slug.",
            f"Write GROUP/SLUG: a group of {', '.join(GROUPS)}, "
            "and a slug of small letters, digits and hyphens.",
        )
    contents = root / "_toc.yml"
    if not contents.exists():
        raise LabError("There is no book here.", "Run `lab` from a checkout of the project.")
    folder = f"{group}/{slug.replace('-', '_')}"
    planned = catalogue.entries(root).get(lab)
    words = {
        "title": title or (planned.title if planned else slug.replace("-", " ").capitalize()),
        "group": group,
        "slug": slug,
        "path": folder,
        "folder": folder.replace("/", "."),
    }
    pattern = Path("lab_services/patterns", folder)
    files = {
        pattern / "__init__.py": "",
        pattern / "compose.yaml": _filled("compose.yaml", words),
        pattern / "app.py": _filled("app.py", words),
        Path(f"labs/{lab}.ipynb"): _filled("lab.ipynb", words),
        Path(f"book/{lab}.md"): _filled("page.md", words),
        Path(f"tests/patterns/test_{pattern.name}.py"): _filled("test.py", words),
    }
    if taken := [str(file) for file in files if (root / file).exists()]:
        raise LabError(f"There is a chapter {lab} already.", f"Found: {', '.join(taken)}")
    package = pattern.parent / "__init__.py"
    if not (root / package).exists():
        files = {package: "", **files}
    writing.ready(root, "Work in a checkout that you may write to.")
    for file, text in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    contents.write_text(_listed(contents.read_text(), group, lab))
    return list(files)


def _filled(name: str, words: dict[str, str]) -> str:
    text = (_TEMPLATES / f"{name}.template").read_text()
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    return text


def _listed(contents: str, group: str, lab: str) -> str:
    """The table of contents with the chapter at the end of its group's part.

    Where the group has no part yet, it gets one behind the groups before it.
    """
    entry = f"      - file: book/{lab}\n        sections:\n          - file: labs/{lab}\n"
    mark = "  - caption: "
    first, *parts = (contents.rstrip() + "\n").split(mark)
    captions = [part.partition("\n")[0] for part in parts]
    groups = list(GROUPS.values())
    caption = GROUPS[group]
    if caption in captions:
        parts[captions.index(caption)] += entry
    else:
        earlier = groups[: groups.index(caption)]
        place = max((n for n, c in enumerate(captions) if c in earlier), default=len(parts) - 1)
        parts.insert(place + 1, f"{caption}\n    chapters:\n{entry}")
    return mark.join([first, *parts])
