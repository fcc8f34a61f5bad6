"""What a notebook imports, and what a service must not."""

import subprocess
import sys

import pytest

import lab_services
from lab_services import models, report, stack, traffic

HEAVY = ("IPython", "docker", "matplotlib", "pandas", "scipy", "sklearn", "lab_services.stack")


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import lab_services", "import lab_services.services.server", "import lab_services.report"],
)
def test_a_service_loads_nothing_of_a_notebook(statement):
    """A predictor that carries pandas and matplotlib: 100 MB and seconds at each start."""
    assert not loaded_after(statement) & set(HEAVY)


FACES = [lab_services, models, report, stack, traffic]


@pytest.mark.parametrize("module", FACES, ids=lambda module: module.__name__)
def test_every_public_name_is_there(module):
    """A name in the notebook's face that leads nowhere, or is not found by completion."""
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        module.nothing_like_it  # noqa: B018


def test_a_name_means_the_same_however_it_is_imported():
    """A function hidden by the module it comes from, once that is imported."""
    code = "import lab_services.report.table\nfrom lab_services.report import summary"
    loaded_after(f"{code}\nassert callable(summary)")
