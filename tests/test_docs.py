"""The README, the tutorials and how-to pages, followed word for word in an empty folder.

    python -m tests.test_docs [PAGE ...]           what pages show and their code does not print
    python -m tests.test_docs --write [PAGE ...]   write what the code prints into the pages

A page is Python in one session (```python), commands (```bash) and what they print (```text right
behind). A comment on the line before a block says what is not obvious:

    <!-- not run: REASON -->     nothing is run, and what is shown is not compared
    <!-- exit status 1 -->       how the command ends, where that is not 0
    <!-- file: NAME -->          the reader saves this block under that name
    <!-- output of THING -->     depends on weights: `--write` writes it, and no test compares it
"""

import contextlib
import functools
import io
import linecache
import os
import re
import runpy
import shlex
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from logit_sampling.cli import main as command_line
from logit_sampling.models import loading

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / f"docs/{name}.md" for name in ("samplers", "explain")),
        *ROOT.glob("docs/tutorials/*.md"),
        *ROOT.glob("docs/how-to/*.md"),
    ]
)
ADDRESS = "http://127.0.0.1:8000"  # of the server that pages talk to
BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.M | re.S
)

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="the pages show what Keras does on TensorFlow",
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    body: str
    note: str
    line: int
    whole: tuple[int, int]  # where it stands in the text
    span: tuple[int, int]  # where its body does


def blocks_of(text: str) -> list[Block]:
    return [
        Block(
            found["kind"],
            found["body"],
            found["note"] or "",
            text.count("\n", 0, found.start("kind")) + 1,
            found.span(),
            found.span("body"),
        )
        for found in BLOCK.finditer(text)
    ]


@dataclass(frozen=True)
class Ran:
    """What became of a block of code, and the block that shows what it printed, if there is one."""

    code: Block
    printed: str
    shown: Block | None


def follow(text: str, page: str = "page", address: str = ADDRESS) -> Iterator[Ran]:
    """Do what a page says, in the present folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    blocks = blocks_of(text)
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        note, _, told = block.note.partition(": ")
        if note == "file":
            Path(told).write_text(block.body, "utf-8")
        elif block.kind in ("python", "bash") and note != "not run":
            code = replace(block, body=block.body.replace(ADDRESS, address))
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), warnings_on_stdout():
                python(code, page, names) if block.kind == "python" else bash(code)
            lines = printed.getvalue().replace(address, ADDRESS).splitlines()
            behind = after and not text[block.whole[1] : after.whole[0]].strip()
            shown = after if after and behind and after.kind == "text" else None
            yield Ran(block, "".join(f"{line.rstrip()}\n" for line in lines), shown)


@contextlib.contextmanager
def warnings_on_stdout() -> Iterator[None]:
    """Let a page show a warning of ours as it shows what is printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ls.ProbabilitiesWarning)
        warnings.showwarning = lambda message, kind, *_, **__: (
            print(f"{kind.__name__}: {message}") if kind is ls.ProbabilitiesWarning else None
        )
        yield


def python(block: Block, page: str, names: dict[str, Any]) -> None:
    name = f"{page}:{block.line}"
    # So that a traceback shows the line.
    linecache.cache[name] = (len(block.body), None, block.body.splitlines(keepends=True), name)
    exec(compile(block.body, name, "exec"), names)


def bash(block: Block) -> None:
    expected = int(block.note.removeprefix("exit status ")) if "exit status" in block.note else 0
    for line in block.body.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line, comments=True) or ["pip"]
        status: Any = 0
        if program == "logit-sampling":
            with pytest.raises(SystemExit) as stop:
                command_line(words)
            status = stop.value.code or 0
        elif program == "python":
            script = ROOT / words[0] if words[0].startswith("examples/") else Path(words[0])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", words)
                runpy.run_path(str(script), run_name="__main__")
        elif program == "cat":
            print(Path(words[0]).read_text("utf-8"), end="")
        else:
            assert program == "pip", f"line {block.line}: nothing here runs {program!r}"
        assert status == expected, f"line {block.line}: {line!r} ended with status {status}"


@contextlib.contextmanager
def reader() -> Iterator[None]:
    """A terminal of 80 columns, and models that are loaded once.

    None of them is compiled with its sampler, which takes longer than these texts and changes none.
    """

    @functools.cache
    def loaded(name: str, **options: Any) -> Any:
        return load(name, **({"jit_compile": False} | options))

    load = loading.load_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_model", loaded)
        patch.setitem(vars(ls), "load_model", loaded)
        patch.setenv("COLUMNS", "80")
        yield


def ran(path: Path) -> tuple[str, list[Ran]]:
    """Follow a page in an empty folder, with a server if it talks to one.

    Return its text and what became of it.
    """
    text = path.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        address = ADDRESS
        if f"{ADDRESS}/v1" in text:
            from tests.serving.conftest import serving

            address = stack.enter_context(serving(ls.Engine(ls.load_model("shakespeare"))))
        return text, list(follow(text, path.name, address))


def differences(steps: Sequence[Ran], all_of_them: bool = False) -> list[str]:
    """Return what a page shows otherwise than it is, or does not show."""
    wrong = []
    for step in steps:
        shown = step.shown.body if step.shown else ""
        left_out = step.shown is not None and step.shown.note.startswith("output of ")
        if step.printed != shown and (all_of_them or not left_out):
            wrong.append(f"line {step.code.line} prints\n{step.printed}and shows\n{shown}")
    return wrong


def written(text: str, steps: Sequence[Ran]) -> str:
    """Return a page with what its code prints."""
    for step in reversed(steps):
        if step.shown:
            start, end = step.shown.span
            text = text[:start] + step.printed + text[end:]
        elif step.printed:
            end = step.code.whole[1]
            text = f"{text[:end]}\n\n```text\n{step.printed}```{text[end:]}"
    return text


@pytest.fixture(scope="module", autouse=True)
def models() -> Iterator[None]:
    with reader():
        yield


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_page(path: Path) -> None:
    text, steps = ran(path)
    assert not (wrong := differences(steps)), "\n".join(wrong)
    known = {step.shown for step in steps}
    strays = [
        block.line
        for block in blocks_of(text)
        if block.kind == "text" and block not in known and not block.note
    ]
    assert not strays, f"no code prints the text of the lines {strays}"


def test_what_a_page_shows_is_compared() -> None:
    page = (
        "```python\nprint(1 + 1)\n```\n\n```text\n{}\n```\n\nProse.\n"
        "```python\nx = 3\n```\n\n```python\nprint(x)\n```\n"
    )
    right = written(page.format(5), list(follow(page.format(5))))
    assert right == page.format(2) + "\n```text\n3\n```\n"
    assert not differences(list(follow(right)))
    (first, second) = differences(list(follow(page.format(5))))
    assert "prints\n2\nand shows\n5" in first and second.endswith("prints\n3\nand shows\n")
    marked = page.replace("```text", "<!-- output of a coin -->\n```text").format(5)
    assert len(differences(list(follow(marked)))) == 1
    mended = written(marked, list(follow(marked)))
    assert mended == written(mended, list(follow(mended)))
    assert mended.startswith(page.format(2).partition("```text")[0] + "<!-- output of a coin -->\n")
    assert len(differences(list(follow(marked)), all_of_them=True)) == 2


def test_what_a_page_says_of_a_block_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (
        "<!-- file: a.txt -->\n```text\nhello\n```\n\n```bash\ncat a.txt\n```\n\n"
        "<!-- not run: it would fail -->\n```python\n1 / 0\n```\n\n"
        "<!-- exit status 2 -->\n```bash\nlogit-sampling samplers NoSuch\n```\n"
    )
    first, second = follow(page)
    assert (first.printed, second.printed) == ("hello\n", "")
    with pytest.raises(AssertionError, match="ended with status 2"):
        list(follow(page.replace("<!-- exit status 2 -->\n", "")))
    with pytest.raises(ZeroDivisionError):
        list(follow(page.replace("<!-- not run: it would fail -->\n", "")))


def main(arguments: list[str]) -> None:
    writes = "--write" in arguments
    pages = [Path(a).resolve() for a in arguments if a != "--write"] or PAGES
    with reader():
        for path in pages:
            text, steps = ran(path)
            if writes:
                path.write_text(written(text, steps), "utf-8")
            for wrong in differences(steps, all_of_them=True):
                print(f"--- {path.relative_to(ROOT)}, {wrong}")


if __name__ == "__main__":
    main(sys.argv[1:])
