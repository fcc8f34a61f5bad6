"""An executed notebook as one HTML file, in light and dark, that loads nothing from anywhere."""

import html

from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

_STYLE = """
:root { color-scheme: light dark; }
body { max-width: 52rem; margin: 0 auto; padding: 1rem; line-height: 1.5;
       font-family: system-ui, sans-serif; color: CanvasText; background: Canvas; }
pre, code { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { overflow-x: auto; padding: 0.5rem; }
.jp-InputPrompt, .jp-OutputPrompt, .anchor-link { display: none; }
.jp-Cell { margin: 1rem 0; }
.jp-InputArea-editor { border-left: 3px solid color-mix(in srgb, CanvasText 30%, Canvas); }
.jp-RenderedText[data-mime-type*="stderr"] { border-left: 3px solid #D55E00; }
table { border-collapse: collapse; }
img, svg { max-width: 100%; height: auto; }
"""


def render(notebook: NotebookNode, title: str) -> str:
    """The page. Its only style is its own: nbconvert's templates load scripts from elsewhere."""
    exporter = HTMLExporter(template_name="basic")  # type: ignore[no-untyped-call]
    body, _ = exporter.from_notebook_node(notebook)
    light = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}{light}"
        f"@media (prefers-color-scheme: dark) {{ {dark} }}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )
