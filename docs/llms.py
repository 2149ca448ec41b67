"""`llms.txt` of the site, as llmstxt.org describes it, made of the navigation."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes


def write(app: Any, exception: Exception | None) -> None:
    """Write it beside the start page: the title, a summary, and a line for each page by section."""
    if exception or app.builder.name != "html":
        return
    env = app.env
    lines = [f"# {env.titles['index'].astext()}", "", f"> {_first(env, 'index', whole=True)}"]
    lines += ["", "A link to _sources/NAME.md.txt is the Markdown of the page NAME.html."]
    for toctree in env.get_doctree("index").findall(addnodes.toctree):
        if toctree["includefiles"]:
            lines += ["", f"## {toctree['caption']}", ""]
            lines += [_line(env, page) for page in _with_those_below(env, toctree["includefiles"])]
    (Path(app.outdir) / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _with_those_below(env: Any, pages: list[str]) -> Iterator[str]:
    for page in pages:
        yield page
        yield from _with_those_below(env, env.toctree_includes.get(page, []))


def _line(env: Any, page: str) -> str:
    about = _first(env, page)
    return f"- [{env.titles[page].astext()}]({_file(env, page)})" + (f": {about}" if about else "")


def _file(env: Any, page: str) -> str:
    """Return the Markdown of a page, or the page if that is none: a notebook, or of docstrings."""
    source = Path(env.doc2path(page))
    words = source.suffix == ".md" and "{eval-rst}" not in source.read_text(encoding="utf-8")
    return f"_sources/{page}.md.txt" if words else f"{page}.html"


def _first(env: Any, page: str, whole: bool = False) -> str:
    """Return the first sentence of a page, or its first paragraph."""
    for paragraph in env.get_doctree(page).findall(nodes.paragraph):
        shown = isinstance(paragraph[0], nodes.reference | nodes.image) and len(paragraph) == 1
        if isinstance(paragraph.parent, nodes.section) and not shown:  # a link or a picture alone
            text = " ".join(paragraph.astext().split())
            return text if whole else re.split(r"(?<=[.?])\s", text)[0].rstrip(":")
    return ""
