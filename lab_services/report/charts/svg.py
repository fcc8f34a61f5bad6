"""A matplotlib figure as an SVG that lives inside a page: it takes the page's colours and font,
says in words what it shows, and shares no id with another chart."""

import hashlib
import html
import io
import re

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Drawn in this colour, shown in the text colour of the page, light or dark.
INK = "#010101"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# Text stays text, and ids follow from the drawing alone: the same data gives the same bytes.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "lab-services", "svg.id": None}


def inline(figure: Figure, name: str, title: str, alt: str) -> str:
    """The figure as one `<svg>` element; call it with `SETTINGS` in force."""
    buffer = io.StringIO()
    # Not by `savefig`, which draws it all once more, to no effect, before it writes.
    canvas = FigureCanvasSVG(figure)
    canvas.print_svg(  # type: ignore[no-untyped-call]
        buffer, metadata={"Date": None, "Creator": None}
    )
    drawn = buffer.getvalue()
    body = drawn[drawn.index("<svg") :]
    opening, _, body = body.partition(">")
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', opening)
    if box is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox.")
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    # Its style sheet speaks of `*`, which inlined is every element of the page.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"font(-family)?: [^;\"]*?'DejaVu Sans'[^;\"]*", _own_font, body)
    body = body.replace(INK, "currentColor")
    body = re.sub(r"\n\s*", "\n", body)
    prefix = f"{name}-{hashlib.sha256(body.encode()).hexdigest()[:6]}"
    body = _without_bare_groups(_own_ids(body, prefix))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {box[1]} {box[2]}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc" '
        f'stroke-linejoin="round" stroke-linecap="butt" font-family="{_FONT}" '
        f'style="display:block;width:100%;max-width:{box[1]}pt;height:auto">\n'
        f'<title id="{prefix}-title">{html.escape(title)}</title>\n'
        f'<desc id="{prefix}-desc">{html.escape(alt)}</desc>{body}'
    )


def _own_font(match: re.Match[str]) -> str:
    """What is left of a font declaration without its family: size, weight, style."""
    declared = match[0]
    if declared.startswith("font-family"):
        return f"font-family: {_FONT}"
    size = re.search(r"[\d.]+px", declared)
    kept = [f"font-size: {size[0]}" if size else ""]
    kept.append("font-weight: bold" if re.search(r"\b(bold|700)\b", declared) else "")
    kept.append("font-style: italic" if "italic" in declared else "")
    return "; ".join(part for part in kept if part)


def _own_ids(body: str, prefix: str) -> str:
    """Ids that something refers to, under a prefix of the chart's own; no others."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))

    def kept(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match[1]}"' if match[1] in used else ""

    body = re.sub(r' id="([^"]*)"', kept, body)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", body)


def _without_bare_groups(body: str) -> str:
    """Without the groups that say nothing, which matplotlib puts around nearly everything: they are
    half of what a browser has to read."""
    kept: list[str] = []
    bare: list[bool] = []
    for part in re.split(r"(<g>|<g [^>]*[^/]>|</g>)", body.replace("<g/>", "")):
        if part == "</g>":
            drop = bare.pop()
        else:
            drop = part == "<g>"
            if drop or re.fullmatch(r"<g [^>]*[^/]>", part):
                bare.append(drop)
        kept.append("" if drop else part)
    return "".join(kept)
