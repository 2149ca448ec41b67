"""The site: what Sphinx is told.

`python docs/build.py` makes the pages that come from the code, builds, and checks every link.

Why Sphinx with furo and MyST, and not zensical, after both were tried on these pages: zensical
(0.0.73) reads the source without running it, so that it does not find our lazily imported public
names, and shows `number(gt=0, le=1)` as a default and the examples of docstrings as quotations;
names in backquotes become no links; it shows no notebooks; its formulas need a script. It was
quicker (2 s). Here formulas are MathML, made when the site is built, and no page needs a network.
"""

import functools
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.typing import stringify_annotation

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT)]

import logit_sampling as ls  # noqa: E402
from docs import llms  # noqa: E402
from docs.reference_pages import TYPES  # noqa: E402
from logit_sampling import types  # noqa: E402
from logit_sampling.distribution import checks  # noqa: E402

project = "logit_sampling"
author = "the logit_sampling authors"
copyright = author
release = version = ls.__version__
REPOSITORY = "https://github.com/logit-sampling/logit-sampling"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_parts", "*.py", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = "logit_sampling"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = True
html_show_sphinx = False
html_favicon = "_static/favicon.svg"
html_theme_options = {
    "top_of_page_buttons": ["view"],  # Markdown; what is made from the code has no place to edit
    "footer_icons": [{"name": "Source", "url": REPOSITORY, "html": "Source", "class": ""}],
}
pygments_style, pygments_dark_style = "tango", "github-dark"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # JSON with an ellipsis
nb_execution_mode = "off"  # they are committed with their outputs, and tests run them
nb_ipywidgets_js: dict[
    str, dict[str, str]
] = {}  # a widget's page would load scripts from elsewhere
nb_merge_streams = True

default_role = "py:obj"  # a name in backquotes in a docstring is a link where it names something
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_admonition_for_examples = False
napoleon_custom_sections = [("Source", "Source")]
napoleon_use_ivar = True
napoleon_use_rtype = False


@functools.cache
def _public() -> dict[str, str]:
    """Return under which name the site has a class or function, by where it is defined."""
    from docs.reference_pages import names, value_of

    values = {f"logit_sampling.{name}": value_of(name) for own in names().values() for name in own}
    return {
        f"{value.__module__}.{value.__qualname__}": name
        for name, value in values.items()
        if hasattr(value, "__qualname__")
    }


def _to_public(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Find a name where the site has it."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    owner = max(
        (own for own in _public() if f"{target}.".startswith(f"{own}.")), key=len, default=""
    )
    public = _public().get(owner, owner) + target.removeprefix(owner)
    if not owner and target[:1].isupper():  # a class by its name alone
        named = {own.rpartition(".")[2]: own for own in _public().values()}
        first, dot, rest = target.partition(".")
        public = f"{named.get(first, first)}{dot}{rest}"
    domain, here = env.get_domain("py"), node["refdoc"]
    return domain.resolve_xref(env, here, app.builder, "obj", public, node, contnode)


@functools.cache
def _aliases() -> list[tuple[str, str]]:
    """Return what a signature shows of types that have a name, and the name; the longest first."""
    named = [(vars(types)[name], f"~logit_sampling.types.{name}") for name in TYPES]
    named += [(checks.Numbers, "~logit_sampling.types.PerRow")]
    named += [(checks.Whole, "~logit_sampling.types.Integers")]
    named += [(checks.Ids, "int | ~collections.abc.Sequence[int]")]
    shown = [(stringify_annotation(kind, "smart"), name) for kind, name in named]
    return sorted(shown, key=lambda pair: -len(pair[0]))


def _with_aliases(
    app: Any,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Name the types that have a name."""

    def named(text: str | None) -> str | None:
        for shown, alias in _aliases():
            text = text and text.replace(shown, alias)
        # What is given, and not in which form it is kept.
        return text and re.sub(r"~?[\w.]*Kept\[(.*?), tuple\[.*?\]\]+(?=[,)]| =)", r"\1", text)

    return named(signature), named(returns)


_ASIDE = re.compile(r"(?<=\]\()((?:\.\./)+[^)#\s]*)")


def _published(app: Any, docname: str, source: list[str]) -> None:
    """Link files of the repository that are no pages to where it is published."""
    here = (DOCS / docname).parent

    def address(match: re.Match[str]) -> str:
        path = (here / match[1]).resolve()
        if not path.exists() or path.is_relative_to(DOCS) or not path.is_relative_to(ROOT):
            return match[1]  # a page, or a mistake, which Sphinx reports
        kind = "tree" if path.is_dir() else "blob"
        return f"{REPOSITORY}/{kind}/main/{path.relative_to(ROOT)}"

    source[0] = _ASIDE.sub(address, source[0])


def _mathml(writer: Any, node: Any, display: str) -> None:
    try:
        formula = convert(node.astext(), display=display)
    except Exception as error:  # it has many of its own
        formula = f"\\ {type(error).__name__}"
    if "\\" in formula:  # a command that it does not know stays as it is
        _log.warning("no formula that can be set: %r", node.astext(), location=node)
    writer.body.append(formula.replace("<math ", f'<math alttext="{_quoted(node.astext())}" ', 1))
    raise nodes.SkipNode


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def _inline(writer: Any, node: Any) -> None:
    _mathml(writer, node, "inline")


def _block(writer: Any, node: Any) -> None:
    writer.body.append('<div class="math">')
    try:
        _mathml(writer, node, "block")
    finally:
        writer.body.append("</div>\n")


_THEIRS = ("for_transformers", "from_generation_config", "TransformersProcessor")


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Leave out what a dataclass writes of itself, and do not take their `generate` for ours."""
    if inspect.isclass(obj) and lines and lines[0].startswith(f"{obj.__name__}("):
        lines.clear()
    if any(part in name for part in _THEIRS):
        lines[:] = [re.sub("(?<!`)`generate`", "``generate``", line) for line in lines]


_log = logging.getLogger(__name__)
html_math_renderer = "mathml"


def setup(app: Any) -> None:
    """Connect the above."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("missing-reference", _to_public)
    app.connect("source-read", _published)
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _with_aliases)
    app.connect("build-finished", llms.write)
