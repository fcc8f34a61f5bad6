"""A service's front page: what can be asked, for whoever follows a link to it with a browser.

Its own links are relative: they hold behind JupyterLab's proxy too, under whatever path.
"""

from collections.abc import Iterable
from html import escape

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}</style>
<h1>{title}</h1>
<dl>
{entries}
</dl>
<p>Each field, with its unit, limits and an example: <a href="openapi.json">openapi.json</a></p>
</html>
"""


def page(title: str, routes: Iterable[BaseRoute]) -> str:
    """HTML with each route, linked where a browser can ask it, and what it says of itself."""
    told = [route for route in routes if isinstance(route, APIRoute) and route.include_in_schema]
    return _PAGE.format(title=escape(title), entries="\n".join(map(_entry, told)))


def _entry(route: APIRoute) -> str:
    methods = sorted(route.methods or ())
    shown = escape(f"{', '.join(methods)} {route.path}")
    if "GET" in methods and not route.param_convertors:
        shown = f'<a href="{escape(route.path[1:])}">{shown}</a>'
    return f"<dt>{shown}</dt><dd>{escape(route.description.partition(chr(10))[0])}</dd>"
