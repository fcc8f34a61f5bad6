"""What a lab executes: which files, and what changes its key."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab_services import paths
from lab_services.errors import LabError
from lab_services.runs.imports import Closure
from lab_services.runs.inputs import Inputs, inputs

WEB, GATE = "serving/web-single", "qa/offline-only"  # both run the flights application
TEMPLATE, TRAINING = "serving/serving-template", "training/batch-training"
LABS = {WEB, GATE, TEMPLATE, TRAINING}
NOTEBOOK = f"labs/{WEB}.ipynb"
PATTERN = "lab_services/patterns/serving/web_single"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what labs may execute, to be changed and put back."""
    root = tmp_path_factory.mktemp("checkout")
    unread = shutil.ignore_patterns("__pycache__", "book", "static")
    for folder in ("lab_services", "labs"):
        shutil.copytree(paths.repository() / folder, root / folder, ignore=unread)
    for file in (".dockerignore", "uv.lock"):
        shutil.copy(paths.repository() / file, root / file)
    return root


def keys(root: Path) -> dict[str, str]:
    return {lab: inputs(lab, root).key for lab in LABS}


@pytest.fixture(scope="module")
def before(checkout: Path) -> dict[str, str]:
    return keys(checkout)


@pytest.fixture
def changed(checkout: Path, before: dict[str, str]) -> Iterator[Callable[[str, bytes], set[str]]]:
    """Writes a file and tells which labs have another key; afterwards all is as it was."""
    kept: dict[Path, bytes | None] = {}

    def change(name: str, content: bytes) -> set[str]:
        file = checkout / name
        kept[file] = file.read_bytes() if file.exists() else None
        file.write_bytes(content)
        return {lab for lab, key in keys(checkout).items() if key != before[lab]}

    yield change
    for file, content in kept.items():
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)


def test_what_only_works_out_is_no_part_of_what_measures(checkout: Path) -> None:
    """A run that is made anew for another chart, or kept for another question."""
    file = checkout / NOTEBOOK
    notebook = json.loads(file.read_text())
    whole, measuring = (inputs(WEB, checkout, measuring=only) for only in (False, True))
    assert set(measuring.files) < set(whole.files)

    def keys_with(cell: dict[str, Any], line: str) -> tuple[bool, bool]:
        """Whether the whole key stays, and that of what measures."""
        kept, cell["source"] = cell["source"], [*cell["source"], f"\n{line}"]
        file.write_text(json.dumps(notebook))
        cell["source"] = kept
        found = (inputs(WEB, checkout, measuring=only).key for only in (False, True))
        same = tuple(key == now for key, now in zip((whole.key, measuring.key), found, strict=True))
        return same[0], same[1]

    cells = {"".join(c["source"]): c for c in notebook["cells"] if c["cell_type"] == "code"}
    charts = next(cell for text, cell in cells.items() if text.startswith("charts.sweep("))
    live = next(cell for text, cell in cells.items() if "traffic.send(" in text)
    gives = next(cell for text, cell in cells.items() if text.startswith("endpoints = "))
    try:
        assert keys_with(charts, "1") == (False, True)
        assert keys_with(live, "1") == (False, False)
        assert keys_with(gives, "1") == (False, False)  # live cells ask for its function
    finally:
        file.write_text(json.dumps(notebook))


@pytest.mark.parametrize(
    ("file", "labs"),
    [
        pytest.param("lab_services/services/flights_app.py", {GATE}, id="shared application"),
        pytest.param(f"{PATTERN}/predictor.py", {WEB}, id="own application"),
        pytest.param(f"{PATTERN}/compose.yaml", {WEB}, id="stack"),
        pytest.param(f"{PATTERN}/envoy.yaml", {WEB}, id="mounted"),
        pytest.param("lab_services/labs/qa/offline_only/users.py", {GATE}, id="helper"),
        pytest.param(
            "lab_services/patterns/serving/serving_template/template/copier.yml",
            {TEMPLATE},
            id="template",
        ),
        pytest.param("lab_services/services/postgres.py", {GATE, TRAINING}, id="by -m"),
        pytest.param("lab_services/services/jobs.py", {TRAINING}, id="by import"),
        pytest.param("lab_services/report/footprint.py", {WEB}, id="by a lazy face"),
        pytest.param("lab_services/report/proportions.py", {WEB, GATE, TEMPLATE}, id="by three"),
        pytest.param("lab_services/models/subprocess_training.py", {GATE}, id="training"),
        pytest.param("lab_services/stack/supervisor_process.py", LABS, id="supervisor"),
        pytest.param("lab_services/stack/zygote.py", LABS, id="zygote"),
        pytest.param("lab_services/traffic/generator/__main__.py", LABS, id="generator"),
        pytest.param("lab_services/models/flights.py", LABS, id="recipe"),
        pytest.param("lab_services/stack/image/Dockerfile", LABS, id="image"),
        pytest.param(".dockerignore", LABS, id="what is in the image"),
        pytest.param("uv.lock", LABS, id="lock"),
        pytest.param("lab_services/services/prometheus.py", set(), id="of another lab"),
        pytest.param("lab_services/command/run.py", set(), id="command"),
        pytest.param(f"{PATTERN}/README.md", set(), id="README"),
        pytest.param("labs/README.md", set(), id="README of the labs"),
    ],
)
def test_a_change_concerns_the_labs_that_use_it(
    changed: Callable[[str, bytes], set[str]], checkout: Path, file: str, labs: set[str]
) -> None:
    """A lab that is not proved again although it runs something else, or is without need."""
    content = (checkout / file).read_bytes() if (checkout / file).exists() else b""
    assert changed(file, content + b"\n") == labs


def test_a_new_file_of_the_chapter_counts(changed: Callable[[str, bytes], set[str]]) -> None:
    """A page, a query or a template that is read by its name, and of which no import speaks."""
    assert changed(f"{PATTERN}/page.html", b"") == {WEB}


def code_cell(notebook: dict[str, Any]) -> dict[str, Any]:
    return next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")


def other_code(notebook: dict[str, Any]) -> None:
    code_cell(notebook)["source"] += ["\n", "1"]


def other_tag(notebook: dict[str, Any]) -> None:
    code_cell(notebook)["metadata"]["tags"] = ["parameters", "nbval-check-output"]


def other_short_mode(notebook: dict[str, Any]) -> None:
    notebook["metadata"]["lab_services"]["short"]["rounds"] = 2


def other_order(notebook: dict[str, Any]) -> None:
    notebook["cells"].reverse()


def other_text(notebook: dict[str, Any]) -> None:
    text = next(cell for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    text["source"] += ","


def more_text(notebook: dict[str, Any]) -> None:
    notebook["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": "More."})


def run(notebook: dict[str, Any]) -> None:
    code_cell(notebook)["execution_count"] = 1
    code_cell(notebook)["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    notebook["metadata"]["language_info"]["version"] = "3.12"


@pytest.mark.parametrize(
    ("edit", "labs"),
    [
        *((edit, {WEB}) for edit in (other_code, other_tag, other_short_mode, other_order)),
        *((edit, set()) for edit in (other_text, more_text, run)),
    ],
)
def test_of_a_notebook_only_what_is_executed_counts(
    changed: Callable[[str, bytes], set[str]],
    checkout: Path,
    edit: Callable[[dict[str, Any]], None],
    labs: set[str],
) -> None:
    """A comma in the text for which a lab is measured for minutes; a parameter for which not."""
    notebook = json.loads((checkout / NOTEBOOK).read_bytes())
    edit(notebook)
    assert changed(NOTEBOOK, json.dumps(notebook).encode()) == labs


def test_the_same_in_every_checkout(checkout: Path, before: dict[str, str]) -> None:
    """A key that knows the folder it was made in, and so is of no use on another machine."""
    assert inputs(WEB).key == before[WEB]
    found = inputs(WEB, checkout)
    assert list(found.files) == sorted(set(found.files))
    assert all((paths.repository() / file).is_file() for file in found.files)


def test_what_the_kernel_imports_is_among_the_files() -> None:
    """A way to import that the search does not see."""
    cells = json.loads((paths.repository() / NOTEBOOK).read_bytes())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    imports = (
        node for node in ast.parse(code).body if isinstance(node, ast.Import | ast.ImportFrom)
    )
    lines = ["import sys", *map(ast.unparse, imports)]
    # Each name of a lazy face is imported when it is asked for.
    lines += set(re.findall(r"\b(?:charts|payloads|report|traffic)\.\w+", code))
    lines += [
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('lab_s')), sep='\\n')"
    ]
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    imported = {Path(file).relative_to(paths.repository()) for file in ran.stdout.splitlines()}
    assert len(imported) > 20
    assert imported <= set(inputs(WEB).files)


# --- small checkouts -----------------------------------------------------------------------------

FACE = """
import lazy_loader
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
"""
STUB = """
from .one import One as One
from .two import Two as Two
"""
SMALL = {
    "__init__.py": "",
    "face/__init__.py": FACE,
    "face/__init__.pyi": STUB,
    "face/one.py": "One = 1",
    "face/two.py": "from . import deep\nTwo = 2",
    "face/deep.py": "",
    "plain/__init__.py": "",
    "plain/a.py": "from . import b\nfrom ..face import Two as two",
    "plain/b.py": "from lab_services import face",
    "plain/c.py": "import lab_services.plain.b",
}
NONE = {"face/__init__.py", "face/__init__.pyi"}
TWO = NONE | {"face/two.py", "face/deep.py"}
B = NONE | {"plain/__init__.py", "plain/b.py"}


def led_to(root: Path, code: str, **more: str) -> set[str]:
    """The files below lab_services that a module with this code leads to, itself not."""
    package = root / "lab_services"
    for name, text in {**SMALL, **more, "begin.py": code}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    closure = Closure(root)
    closure.follow(["lab_services.begin"])
    found = {file.relative_to("lab_services").as_posix() for file in closure.files}
    return found - {"__init__.py", "begin.py"}


@pytest.mark.parametrize(
    ("code", "files"),
    [
        ("import lab_services.plain.b", B),
        ("import lab_services.plain.b as it", B),
        ("from lab_services.plain import b", B),
        ("from lab_services.plain.b import nothing", B),
        ("from .plain import b", B),
        ("from . import plain\nplain.b", B),
        ("def later():\n    from lab_services.plain import b", B),
        ("try:\n    import json\nexcept ImportError:\n    from lab_services.plain import b", B),
        ("import importlib\nimportlib.import_module('lab_services.plain.b')", B),
        ("run([python, '-m', 'lab_services.plain.b'])", B),
        ("run([python, '-c', 'from lab_services.plain import b'])", B),
        ("serve('lab_services.plain.b:app')", B),
        ("from lab_services.plain import a", B | TWO | {"plain/a.py"}),
        ("from lab_services.plain import c", B | {"plain/c.py"}),
        # Through a lazy face: what is asked for, however it is.
        ("from lab_services.face import Two", TWO),
        ("from lab_services import face\nface.Two", TWO),
        ("from lab_services import face as f\ndef later():\n    return f.Two.real", TWO),
        ("import lab_services.face\nlab_services.face.Two", TWO),
        ("import lab_services.face as f\nf.Two", TWO),
        ("from lab_services.plain import b\nb.face.Two", B | TWO),
        ("from lab_services import face", NONE),
        ("from lab_services import face\nface.__name__", NONE),
        # Anything may be asked of it: all that it names.
        *(
            (code, TWO | {"face/one.py"})
            for code in (
                "from lab_services.face import *",
                "from lab_services import face\ngetattr(face, name)",
                "from lab_services.face import Unknown",
            )
        ),
        # Never executed.
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lab_services.face",
            set(),
        ),
        ('"""As lab_services.plain.b does."""', set()),
        ("import numpy.face", set()),
    ],
)
def test_every_way_to_import_is_followed(tmp_path: Path, code: str, files: set[str]) -> None:
    """A file that is executed and not found, or found and not executed."""
    assert led_to(tmp_path, code) == files


CHAPTER = "patterns/serving/one"
OTHER = "patterns/serving/other"


@pytest.mark.parametrize(
    ("file", "text", "files"),
    [
        ("compose.yaml", "command: [python, -m, lab_services.plain.b]", B),
        ("compose.yaml", "command: uvicorn lab_services.plain.b:app --port 80", B),
        ("compose.yaml", 'environment: {APP: "lab_services.plain.b:app"}', B),
        ("compose.yaml", 'volumes: ["../other/a.sql:/a.sql"]', {f"{OTHER}/a.sql"}),
        ("compose.yaml", 'volumes: ["${X:-../other/sub}:/x:ro"]', {f"{OTHER}/sub/b.py", *B}),
        ("compose.yaml", "build: {context: ../../../..}", set()),
        ("app.py.jinja", "from lab_services.plain import b\nname = {{ name }}", B),
        ("measuring.py", "Stack('serving/other')", {f"{OTHER}/a.sql", f"{OTHER}/sub/b.py", *B}),
        ("measuring.py", "from ..other import app", {f"{OTHER}/a.sql", f"{OTHER}/sub/b.py", *B}),
        ("deep/1.0/run.py", "from lab_services.plain import b", B),
    ],
)
def test_a_chapter_leads_to_what_its_files_name(
    tmp_path: Path, file: str, text: str, files: set[str]
) -> None:
    """A service, or a file of another chapter, that only the Compose file speaks of."""
    own = f"{CHAPTER}/{file}"
    others = {f"{OTHER}/a.sql": "", f"{OTHER}/sub/b.py": "from lab_services.plain import b"}
    found = led_to(tmp_path, "import lab_services.patterns.serving.one", **{own: text, **others})
    assert found == {own, *files}


# --- what cannot be read -------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkout with one small lab."""
    led_to(tmp_path, "", **{f"{CHAPTER}/compose.yaml": "services: {}"})
    for name in (".dockerignore", "uv.lock"):
        (tmp_path / name).touch()
    (tmp_path / "labs/serving").mkdir(parents=True)
    return tmp_path


def of_cells(root: Path, *cells: str) -> Inputs:
    """The inputs of a notebook with these cells behind a text."""
    code = [{"cell_type": "code", "metadata": {}, "source": cell} for cell in cells]
    text = {"cell_type": "markdown", "metadata": {}, "source": "import this ("}
    notebook = {"nbformat": 4, "cells": [text, *code], "metadata": {}}
    (root / "labs/serving/one.ipynb").write_text(json.dumps(notebook))
    return inputs("serving/one", root)


@pytest.mark.parametrize(
    "cell",
    [
        "%matplotlib inline\nfrom lab_services.plain import b",
        "%%time\nfrom lab_services.plain import b",
        "if True:\n    !ls\n    from lab_services.plain import b",
        "!python -m lab_services.plain.b",
        "await nothing()\nfrom lab_services.plain import b",
        'text = """\n%s"""\nfrom lab_services.plain import b',
    ],
)
def test_a_line_that_only_a_notebook_understands(small: Path, cell: str) -> None:
    """A lab without a key for the sake of one magic, or one whose magic hides an import."""
    assert Path("lab_services/plain/b.py") in of_cells(small, cell).files


def test_names_of_one_cell_are_used_in_another(small: Path) -> None:
    """An import that is forgotten at the end of its cell."""
    found = of_cells(small, "from lab_services import face", "face.Two").files
    assert Path("lab_services/face/two.py") in found


def test_the_lab_has_its_own_stack(small: Path) -> None:
    """A chapter that counts only when the notebook writes the lab's name in one piece."""
    found = of_cells(small, "Stack(group + name)").files
    assert Path(f"lab_services/{CHAPTER}/compose.yaml") in found


def test_a_cell_that_no_file_can_hold(small: Path) -> None:
    """A traceback for half a character, which JSON allows and Python does not."""
    with pytest.raises(LabError, match=r"one\.ipynb is no notebook"):
        of_cells(small, "x = '\ud800'")


def test_a_cell_that_is_not_python(small: Path) -> None:
    """A traceback, or an error that leaves the cell to be guessed."""
    with pytest.raises(LabError, match=r"labs/serving/one\.ipynb, cell 3, line 2 is not Python"):
        of_cells(small, "1", "%%bash\nfor x in y; do")


@pytest.mark.parametrize("content", [b"import (", b"\xff\xfe = 1", b"a = 1\0"])
def test_a_file_that_is_not_python(small: Path, content: bytes) -> None:
    """A traceback, or a key without what the file imports."""
    (small / "lab_services/plain/b.py").write_bytes(content)
    with pytest.raises(LabError, match=r"lab_services/plain/b\.py.* is not Python"):
        of_cells(small, "from lab_services.plain import b")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"nbformat": 4, "cells": {}, "metadata": []}',
        b'{"nbformat": 4, "cells": [{"cell_type": "code"}], "metadata": {}}',
        b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "code", "source": 1}]}',
        b"[" * 100_000,
    ],
)
def test_a_notebook_that_is_none(small: Path, content: bytes) -> None:
    """A traceback that does not name the file."""
    (small / "labs/serving/one.ipynb").write_bytes(content)
    with pytest.raises(LabError, match=r"one\.ipynb is no notebook"):
        inputs("serving/one", small)


def test_no_such_notebook(small: Path) -> None:
    """A key of nothing."""
    with pytest.raises(LabError, match=r"There is no notebook labs/serving/two\.ipynb"):
        inputs("serving/two", small)


def test_a_checkout_without_its_lock(small: Path) -> None:
    """A key that does not know the libraries."""
    (small / "uv.lock").unlink()
    with pytest.raises(LabError, match=r"uv\.lock cannot be read"):
        of_cells(small, "1")
