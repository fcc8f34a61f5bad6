"""Sphinx: the repository's address, which stands in `_config.yml` and nowhere else.

- `` {repository}`CONTRIBUTING.md` `` is a link to a file of the repository; with nothing but `.` it
  leads to the repository itself
- `{clone}` is a code block: get the repository, then the directive's content
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective, SphinxRole

from lab_services.book.from_run import missing
from lab_services.errors import LabError


def setup(app: Sphinx) -> None:
    """Register the role and the directive."""
    app.add_role("repository", RepositoryFile())
    app.add_directive("clone", Clone)


def address(config: Config) -> str:
    """The repository's address as the theme has it from `_config.yml`. Raises LabError."""
    if found := str(config.html_theme_options.get("repository_url", "")):
        return found.rstrip("/")
    raise LabError("_config.yml does not say where the repository is: repository: url.")


class RepositoryFile(SphinxRole):
    """A link to a file."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            where = address(self.config)
        except LabError as error:
            return [missing(error, self.get_source_info(), self.rawtext)], []
        if self.text == ".":
            return [nodes.reference("", where, refuri=where)], []
        branch = self.config.html_theme_options.get("repository_branch") or "main"
        link = nodes.reference("", "", refuri=f"{where}/blob/{branch}/{self.text}")
        link += nodes.literal("", self.text)
        return [link], []


class Clone(SphinxDirective):
    """Commands that begin with getting the repository."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            where = address(self.config)
        except LabError as error:
            return [missing(error, self.get_source_info(), self.block_text)]
        lines = [f"git clone {where}", f"cd {where.rpartition('/')[2]}", *self.content]
        text = "\n".join(lines)
        return [nodes.literal_block(text, text, language="sh")]
