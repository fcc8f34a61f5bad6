"""The buttons of a page and of its lab, in a book that is built."""

import re
from pathlib import Path

import pytest
import yaml

from tests.gates.small_book import GOOD

HUB = "https://hub.example.org"


def addresses(page: Path) -> dict[str, str]:
    """Each launch button's address by its word."""
    found = re.findall(
        r'<a href="(https://[^"]*)"[^>]*class="[^"]*dropdown-item[^"]*".*?btn__text-container">(\w+)',
        page.read_text(),
        re.DOTALL,
    )
    return {word: address.replace("&amp;", "&") for address, word in found}


@pytest.mark.timeout(120)
def test_page_and_lab_open_the_lab(book, build):
    """A button that opens the page's text in JupyterLab, or a hub without the newest labs."""
    root = book(*GOOD)
    file = root / "_config.yml"
    config = yaml.safe_load(file.read_text())
    config["launch_buttons"]["jupyterhub_url"] = HUB
    file.write_text(yaml.safe_dump(config))
    built = build(root)
    assert built.returncode == 0, built.stdout
    url = config["repository"]["url"]
    owner, name = url.split("/")[-2:]
    site = root / "_build/html"
    for tree in ("book", "labs"):
        told = addresses(site / tree / "serving/small.html")
        assert told["Binder"] == (
            f"https://mybinder.org/v2/gh/{owner}/{name}/main?urlpath=lab/workspaces/serving-small"
        )
        assert told["JupyterHub"].startswith(f"{HUB}/hub/user-redirect/git-pull?repo=")
        assert f"urlpath=lab/tree/{name}/labs/serving/small.ipynb&branch=main" in told["JupyterHub"]
        assert told["Codespaces"] == f"https://codespaces.new/{owner}/{name}"
    assert not addresses(site / "book/index.html")
