"""Build the site: `python docs/build.py`, in an environment with `pip install -e ".[docs]"`.

It makes the pages that come from the code (`strategies/`, `reference/`, `notebooks/`, the change
log and how to contribute, none of which is committed), lets Sphinx build all with warnings as
errors, and then looks at what was built: every link to a page, a place in it, a picture or a file
has to lead somewhere, and no page may need a network.
"""

import argparse
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def generate() -> None:
    """Make the pages that come from the code and from other folders."""
    from docs import reference_pages, strategy_pages

    for name in ("reference", "strategies", "notebooks"):  # what an earlier build left
        shutil.rmtree(DOCS / name, ignore_errors=True)
    reference_pages.write(DOCS / "reference")
    strategy_pages.write(DOCS / "strategies")
    (DOCS / "notebooks").mkdir(exist_ok=True)
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, DOCS / "notebooks")
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
        text = re.sub(r"\]\((?!https?:|#)", "](../", text).replace("](../docs/", "](")
        (DOCS / f"{name.lower()}.md").write_text(text, encoding="utf-8")


def sphinx(out: Path) -> None:
    """Build the pages.

    Raises:
        SystemExit: a warning or an error, which Sphinx has printed.
    """
    from sphinx.cmd.build import main

    options = ["-b", "html", "-W", "--keep-going", "-q", "-d", str(out.with_name("doctrees"))]
    if status := main([*options, str(DOCS), str(out)]):
        raise SystemExit(status)


class _Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        for name in ("href", "src"):
            if name in given:
                (self.links if tag == "a" else self.loads).append(given[name])


def broken(out: Path) -> list[str]:
    """Return what is wrong with the links of a built site, and what it loads from elsewhere."""
    pages = {page: _Page(page.read_text(encoding="utf-8")) for page in sorted(out.rglob("*.html"))}
    wrong = []
    for page, own in pages.items():
        name = page.relative_to(out)
        for link in own.links + own.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in own.loads and parts.scheme != "data":
                    wrong.append(f"{name} loads {link} from elsewhere")
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                wrong.append(f"{name} links to {link}, which is not there")
            elif target in pages and unquote(parts.fragment) not in {"", *pages[target].places}:
                wrong.append(f"{name} links to {link}, a place that is not there")
    index = out / "llms.txt"
    listed = re.findall(r"\]\((.+?)\)", index.read_text("utf-8")) if index.exists() else ()
    wrong += [
        f"llms.txt links to {x}, which is not there" for x in listed if not (out / x).is_file()
    ]
    return wrong


def main() -> None:
    """Build, check, and say where it is."""
    parser = argparse.ArgumentParser(description="Build the site and check its links.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="a folder")
    parser.add_argument("--keep", action="store_true", help="take generated pages as they are")
    arguments = parser.parse_args()
    if not arguments.keep:
        generate()
    sphinx(arguments.out)
    if wrong := broken(arguments.out):
        raise SystemExit("\n".join(wrong))
    pages = len(list(arguments.out.rglob("*.html")))
    print(f"{pages} pages in {arguments.out}, all links inside lead somewhere")


if __name__ == "__main__":
    main()
