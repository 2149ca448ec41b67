"""The reference: a page for each part of the library, on which its public names are described.

Sphinx reads their docstrings; here is only which names there are and where they belong, which is
told by the package that they come from. A name on no page stops the build, and none of them changes
without a note (`tests/api.py`).
"""

import contextlib
import io
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import logit_sampling as ls
from logit_sampling import testing, training
from logit_sampling.strategies.table import TABLE

PARTS = {
    "samplers": ("Samplers and transforms", ("sampler", "strategies", "distribution")),
    "strategies": ("Strategies", ()),
    "generation": ("Generation", ("generation", "decoding")),
    "models": ("Models", ("models",)),
    "logits": ("Logits or probabilities", ("diagnostics",)),
    "comparison": ("Comparison", ("evaluation",)),
    "training": ("Training", ("training",)),
    "testing": ("Certificates", ("testing",)),
    "other-loops": ("Others' loops", ("interop",)),
    "ray": ("Jobs over Ray", ("ray",)),
    "types": ("Types", ()),
}
PUBLIC: list[str] = vars(ls)["__all__"]
TYPES = ["ArrayLike", "Lists", "Logits", "TokenIds", "Tokens", "Seed", "Integers", "PerRow"]
TYPES += ["Overflow", "OnError", "Order"]
_BESIDES = {
    "samplers": [
        "explain.Explanation",
        "explain.trace.Stage",
        "explain.trace.Token",
        "distribution.protocol.Distribution",
    ],
    "generation": [
        "generation.result.GenerationResult",
        "generation.stream.Stream",
        "generation.writing.TextEvent",
        "generation.engine.Request",
        "generation.score.ScoreResult",
        "decoding.speculative.Speculation",
        "decoding.lookup.Lookup",
    ],
    "models": ["models.model.Model", "models.model.Output", "models.model.Tokenizer"],
    "comparison": ["evaluation.result.Result"],
    "testing": [f"testing.{name}" for name in testing.__all__],
    "training": [
        f"training.{name}" for name in training.__all__ if name not in (*PUBLIC, "CORPORA")
    ],
    "other-loops": [
        "interop.keras_hub.KerasHubSampler",
        "interop.transformers.TransformersProcessor",
    ],
    "ray": ["ray.write"],
    "types": [f"types.{name}" for name in TYPES],
}
_INTRODUCTIONS = {
    "strategies": "Each has a page with its formula and pictures: "
    "[Strategies](../strategies/index.md).",
    "other-loops": "`ls.Sampler` makes these: {py:meth}`logit_sampling.Sampler.for_keras_hub`, "
    "{py:meth}`logit_sampling.Sampler.for_transformers`, and reads the settings of others: "
    "{py:meth}`logit_sampling.Sampler.from_keras_hub`, "
    "{py:meth}`logit_sampling.Sampler.from_generation_config`.",
}
_OF_EVERY_TRANSFORM = (
    "apply, init, update, select, formula, chance, get_config, token_ids_named, end_tokens, "
    "reads_history, of_row, key_words"
)


def value_of(name: str) -> Any:
    """Return what a public name below `logit_sampling` stands for."""
    value: Any = ls
    for step in name.split("."):
        try:
            value = getattr(value, step)
        except AttributeError:
            value = import_module(f"{value.__name__}.{step}")
    return value


def names() -> dict[str, list[str]]:
    """Return the names of each part, below `logit_sampling`: public ones and what these return.

    Raises:
        ValueError: a name belongs to none.
    """
    strategies = {row.name for row in TABLE}
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in PUBLIC:
        package = getattr(ls, name).__module__.split(".")[1]
        parts = [part for part, (_, packages) in PARTS.items() if package in packages]
        if name in strategies:
            parts = ["strategies"]
        if not parts:
            raise ValueError(
                f"logit_sampling.{name} of the package {package} is on no page: see PARTS"
            )
        found[parts[0]].append(name)
    own = {part: sorted(names, key=_rank) for part, names in found.items()}
    return {part: names + _BESIDES.get(part, []) for part, names in own.items()}


def _rank(name: str) -> tuple[bool, str]:
    return name not in ("Sampler", "generate", "load_model", "check_logits", "compare"), name


def write(folder: Path) -> None:
    """Write the pages, their index, and what the commands say of themselves."""
    folder.mkdir(exist_ok=True)
    listed = names()
    index = ["# Reference", "", "The public names, from their docstrings.", ""]
    for part, (title, _) in PARTS.items():
        links = [f"{{py:obj}}`~logit_sampling.{name}`" for name in listed[part]]
        index += [f"[{title}]({part}.md)", f": {', '.join(links)}", ""]
        (folder / f"{part}.md").write_text(_page(part, listed[part]), encoding="utf-8")
    index += ["[The command line](command-line.md)", ": all commands and their options", ""]
    toc = "\n".join([*PARTS, "command-line"])
    index += [f"```{{toctree}}\n:hidden:\n{toc}\n```", ""]
    (folder / "index.md").write_text("\n".join(index), encoding="utf-8")
    (folder / "command-line.md").write_text(_commands(), encoding="utf-8")


def _page(part: str, own: list[str]) -> str:
    lines = [f"# {PARTS[part][0]}", ""]
    lines += [_INTRODUCTIONS[part], ""] if part in _INTRODUCTIONS else []
    for name in own:
        value = value_of(name)
        lines += [f"## {name}", "", "```{eval-rst}", ".. currentmodule:: logit_sampling", ""]
        if isinstance(value, type):
            lines += [f".. autoclass:: logit_sampling.{name}", "   :members:"]
            if "__call__" in vars(value):
                lines += ["   :special-members: __call__"]
            if part == "strategies":
                lines += [f"   :exclude-members: {_OF_EVERY_TRANSFORM}"]
        elif callable(value):
            lines += [f".. autofunction:: logit_sampling.{name}"]
        else:
            lines += [f".. autodata:: logit_sampling.{name}"]
        lines += ["```", ""]
    return "\n".join(lines)


def _commands() -> str:
    """Return what `--help` says, of all commands."""
    os.environ |= {"TERMINAL_WIDTH": "100", "NO_COLOR": "1"}  # before what prints is imported
    from logit_sampling.cli.app import COMMANDS, run

    parts = ["# The command line", ""]
    for name in COMMANDS:
        with contextlib.redirect_stdout(io.StringIO()) as told:
            run([name, "--help"])
        text = "\n".join(line.rstrip() for line in told.getvalue().strip().splitlines())
        parts += [f"## logit-sampling {name}", "", f"```text\n{text}\n```", ""]
    return "\n".join(parts)
