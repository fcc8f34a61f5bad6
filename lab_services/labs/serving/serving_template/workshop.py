"""Where the lab stamps services: a folder for a while, with the template as a repository in it.

No service imports this. Copier and git work in that folder alone, and git takes nobody's settings.
"""

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from lab_services import git as clean
from lab_services.errors import LabError
from lab_services.patterns.serving import serving_template

# The template, its releases and the fleet belong to the pattern.
HERE = Path(serving_template.__file__).parent
FIRST, DEFECTIVE, INCOMPATIBLE = RELEASES = ("1.0.0", "1.1.0", "2.0.0")
ANSWERS_FILE = ".copier-answers.yml"
CONFLICT = "<<<<<<< "
# Whoever commits here is nobody, and no setting of the reader's (signing, hooks) has a say.
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    **{
        f"GIT_{role}_{what}": said
        for role in ("AUTHOR", "COMMITTER")
        for what, said in (("NAME", "serving template"), ("EMAIL", "template@example.org"))
    },
}


class Workshop:
    """A temporary folder: the template with its releases tagged, and the fleet stamped from it.

    `fleet` is the folder in it that a stack mounts. Closing removes everything; so does the end of
    the process. Raises LabError where there is no git.

    >>> workshop = Workshop()                                       # doctest: +SKIP
    >>> workshop.stamp("board", workshop.fleet / "1.0.0/board")     # doctest: +SKIP
    >>> workshop.close()                                            # doctest: +SKIP
    """

    def __init__(self) -> None:
        if shutil.which("git") is None:
            raise LabError("There is no git on this machine.", "Copier needs it: install git.")
        self._folder = tempfile.TemporaryDirectory(prefix="serving-template-")
        self.folder = Path(self._folder.name)
        self.template, self.fleet = self.folder / "template", self.folder / "fleet"
        self.fleet.mkdir()
        _share(self.folder)
        shutil.copytree(HERE / "template", self.template)
        git(self.template, "init", "--quiet", "--initial-branch=main")
        commit(self.template, FIRST, tag=FIRST)
        for release in RELEASES[1:]:
            git(self.template, "apply", str(HERE / "releases" / f"{release}.patch"))
            commit(self.template, release, tag=release)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._folder.cleanup()

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def stamp(self, name: str, to: Path, release: str = FIRST, **answered: Any) -> Path:
        """A service made from the answers of that name, in a repository of its own at `to`."""
        with _copier() as copier:
            copier.run_copy(
                str(self.template), to, answers(name) | answered, vcs_ref=release,
                defaults=True, overwrite=True, quiet=True,
            )  # fmt: skip
        git(to, "init", "--quiet", "--initial-branch=main")
        # A service that has run leaves them, and Copier updates no repository that has changed.
        (to / ".git" / "info").mkdir(exist_ok=True)
        (to / ".git" / "info" / "exclude").write_text("__pycache__/\n")
        commit(to, f"stamped from {release}")
        _share(self.folder)
        return to

    def update(self, service: Path, to: Path, release: str, **answered: Any) -> "Update":
        """The service updated to another release in a copy at `to`, and what became of it.

        What was changed since the service was stamped is merged with what the template changed.
        """
        shutil.copytree(service, to)
        with _copier() as copier:
            copier.run_update(
                to, answered, vcs_ref=release,
                defaults=True, overwrite=True, quiet=True, conflict="inline",
            )  # fmt: skip
        _share(self.folder)
        return Update(to, sum(text.count(CONFLICT) for text in texts(to).values()))

    def edit(self, service: Path, to: Path, edit: "Edit") -> Path:
        """A copy of the service in which somebody has changed something, at `to`."""
        shutil.copytree(service, to)
        (module,) = to.glob("*.py")
        module.write_text(edit.applied(module.read_text()))
        commit(to, edit.name)
        _share(self.folder)
        return to


@dataclass(frozen=True)
class Update:
    """What became of an update: where the service is, and how many places need a person."""

    folder: Path
    conflicts: int


@dataclass(frozen=True)
class Edit:
    """A change that a team has made to its own service: pairs of a text and what it became."""

    name: str
    changes: Sequence[tuple[str, str]]

    def applied(self, text: str) -> str:
        """The text with the change. Raises LabError unless each place is there just once."""
        for old, new in self.changes:
            if text.count(old) != 1:
                raise LabError(f"{self.name!r}: {old!r} is there {text.count(old)} times.")
            text = text.replace(old, new)
        return text


_METADATA = '''@app.get("/metadata")
async def metadata() -> dict[str, Any]:
    """Who answers, with which model, and whom to ask about it."""
    return {
        "service": "board",
        "owner": "passenger information",
        "release": RELEASE,
        "model": model.card["name"],
        "sha256": model.card["sha256"],
    }


'''
_REFUSAL = '''

@app.exception_handler(RequestValidationError)
async def refuse(request: Request, error: Exception) -> JSONResponse:
    """One short sentence for whatever is wrong."""
    return JSONResponse({"error": "bad request"}, status_code=400)


class Answer'''
_BATCH = '''

@app.post("/predict/batch")
async def predict_batch(flights: list[Flight]) -> list[Answer]:
    """The same for many flights."""
    return [await predict(flight) for flight in flights]
'''
# Each is what one team has done to its copy of the board, with a reason that sounds well enough.
EDITS = (
    Edit(
        "chances in per cent",
        [
            ("round(float(", "round(100 * float("),
            ("[0]), 6)", "[0]), 1)"),
            ("probability > LATE_ABOVE", "probability > 100 * LATE_ABOVE"),
        ],
    ),
    Edit(
        "short error messages",
        [
            ("from typing_extensions", "from fastapi import Request\nfrom typing_extensions"),
            (
                "import Request\n",
                "import Request\nfrom fastapi.exceptions import RequestValidationError\n"
                "from fastapi.responses import JSONResponse\n",
            ),
            ("\n\nclass Answer", _REFUSAL),
        ],
    ),
    Edit(
        "a line to read, not to count",
        [('log.info("predicted", extra=said)', 'print(f"chance of {probability:.0%}")')],
    ),
    Edit("nobody asks for metadata", [(_METADATA, "")]),
    Edit(
        "a limit of its own for Newark",
        [("> LATE_ABOVE", '> (0.2 if flight["origin"] == "EWR" else LATE_ABOVE)')],
    ),
    Edit(
        "many flights at once",
        [
            (
                '    return {"probability": probability, "late": late}\n',
                '    return {"probability": probability, "late": late}\n' + _BATCH,
            )
        ],
    ),
    Edit(
        "the airline in the log",
        [
            (
                '    said["probability"] = probability\n',
                '    said["probability"] = probability\n    said["carrier"] = flight["carrier"]\n',
            )
        ],
    ),
    Edit("two digits are enough", [("[0]), 6)", "[0]), 2)")]),
)


# --- what a person writes ------------------------------------------------------------------------


def names() -> list[str]:
    """The services that there are answers for."""
    return sorted(file.stem for file in (HERE / "answers").glob("*.yml"))


def answers(name: str) -> dict[str, Any]:
    """What was answered for a service. Raises LabError for one that nobody has answered for."""
    file = HERE / "answers" / f"{name}.yml"
    if not file.is_file():
        raise LabError(f"There are no answers for {name!r}.", f"There are: {', '.join(names())}.")
    return dict(yaml.safe_load(file.read_text()))


def answered_lines(name: str) -> int:
    """How many lines the answers for a service are."""
    return lines((HERE / "answers" / f"{name}.yml").read_text())


def template_lines() -> int:
    """How many lines the template is, its questions included."""
    return sum(lines(text) for text in texts(HERE / "template").values())


def service_lines(service: Path) -> int:
    """How many lines a service is that somebody writes by hand, so without Copier's own file."""
    return sum(lines(text) for text in by_hand(service).values())


def lines(text: str) -> int:
    """Lines that are not empty: what a person writes."""
    return sum(bool(line.strip()) for line in text.splitlines())


def changed_lines(before: Mapping[str, str], after: Mapping[str, str]) -> int:
    """How many lines of `after` a person writes who begins with `before`; taking away is free.

    Files are compared in the order of their kinds, so that one with another name is no new one.
    """
    written = 0
    for (_, old), (_, new) in zip(_by_kind(before), _by_kind(after), strict=True):
        matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
        for what, _, _, begin, end in matcher.get_opcodes():
            if what != "equal":
                written += lines("\n".join(new.splitlines()[begin:end]))
    return written


def release_lines(release: str) -> int:
    """How many lines of the template a person wrote for a release."""
    patch = (HERE / "releases" / f"{release}.patch").read_text()
    return lines("\n".join(
        line[1:] for line in patch.splitlines() if line.startswith("+") and line[:3] != "+++"
    ))  # fmt: skip


def by_hand(service: Path) -> dict[str, str]:
    """The texts of a service that somebody would write without a template."""
    return {path: text for path, text in texts(service).items() if path != ANSWERS_FILE}


def texts(folder: Path) -> dict[str, str]:
    """The text of every file below a folder, by its path there; git's own are none of them."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".git", "__pycache__"} & set(path.parts)
    }


def _by_kind(files: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((Path(path).suffix, text) for path, text in files.items())


def _share(folder: Path) -> None:
    """Let a container, which is another user, read what is in a folder, under any umask."""
    folder.chmod(0o755)
    for path in folder.glob("[!.]*"):
        if path.is_dir():
            _share(path)
        else:
            path.chmod(0o644)


# --- git and Copier ------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    """What git says in this folder. Raises LabError with its complaint."""
    return clean.git(folder, *words, env=clean.environment(**GIT))


def commit(folder: Path, message: str, tag: str = "") -> None:
    """Keep everything in this folder as it is now."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--no-verify", "--message", message)
    if tag:
        git(folder, "tag", tag)


@contextmanager
def _copier() -> Iterator[Any]:
    """Copier, whose git has the same environment as ours."""
    import copier  # late: half a second
    from plumbum import local

    with local.env():  # which is put back at the end
        own = clean.environment(dict(local.env), **GIT)
        local.env.clear()
        local.env.update(own)
        yield copier
