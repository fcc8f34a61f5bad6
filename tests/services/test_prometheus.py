"""The launcher of Prometheus: the configuration is filled in, and what is missing is named."""

import pytest

from lab_services.errors import LabError
from lab_services.services import prometheus

TEXT = 'scrape_configs: [{job_name: a, static_configs: [{targets: ["${PREDICTOR}"]}]}]\n'


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "own"
    made.mkdir()
    return made


def test_targets_come_from_the_environment(config, folder):
    """A target that is left as it is written in the file: nothing would be scraped."""
    words = prometheus.prepared(
        [f"--config.file={config}", "--web.listen-address=0.0.0.0:9090"],
        folder,
        {"PREDICTOR": "127.0.0.1:4711"},
    )
    filled = folder / "prometheus.yml"
    assert words[0] == f"--config.file={filled}"
    assert words[-1] == "--web.listen-address=0.0.0.0:9090"
    assert "127.0.0.1:4711" in filled.read_text()
    assert config.read_text() == TEXT


def test_data_lie_in_a_folder_of_their_own(config, folder):
    """Two on one machine that write into one database."""
    words = prometheus.prepared([f"--config.file={config}"], folder, {"PREDICTOR": "a:1"})
    assert f"--storage.tsdb.path={folder / 'data'}" in words


@pytest.mark.parametrize(
    ("arguments", "told"),
    [([], "--config.file=FILE"), (["--config.file=/nowhere/p.yml"], "/nowhere/p.yml")],
)
def test_a_missing_file_is_named(folder, arguments, told):
    """A traceback where the user has forgotten a file."""
    with pytest.raises(LabError, match=told):
        prometheus.prepared(arguments, folder, {})


def test_a_missing_variable_is_named(config, folder):
    """A target that is quietly empty."""
    with pytest.raises(LabError, match="PREDICTOR"):
        prometheus.prepared([f"--config.file={config}"], folder, {})


def test_a_lonely_dollar_sign_is_refused(tmp_path, folder):
    """A placeholder with a typing error, handed on as it is."""
    path = tmp_path / "prometheus.yml"
    path.write_text("targets: ['${PREDICTOR']\n")
    with pytest.raises(LabError, match=r"\$\$"):
        prometheus.prepared([f"--config.file={path}"], folder, {"PREDICTOR": "a:1"})
