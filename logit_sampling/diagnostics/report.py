"""What `check_logits` returns."""

import textwrap
from dataclasses import dataclass
from typing import Any

FIELDS = (
    "name", "summary", "output", "expects", "ok", "strength", "problem", "remedy", "remedies",
    "notes", "evidence", "units",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class LogitsReport:
    """What a model puts out and what its loss expects. `print` shows it.

    Attributes:
        output: "logits", "log_probabilities", "softmax", "sigmoid" or "unknown".
        expects: "logits", "probabilities", "log_probabilities", or None without a loss or if it
            cannot be told.
        ok: whether they agree, and the labels, where they were given, fit; None if it cannot be
            told.
        problem: what goes wrong; empty when ok.
        remedy: the line of code that mends it; empty when ok.
        evidence: how `output` and `expects` are known.
        name: of the output.
        outputs: a report for each output, where a model has several. The fields above are then
            those of the worst one, and `ok` is true only if it is for all that have a
            classification loss.
        units: the size of the axis that the classes lie on; None if unknown.
        loss: the name of the `keras.losses` class and the from_logits that agree with the output;
            None if no change of the loss does.
        summary: the verdict in one plain sentence.
        strength: how `output` is known: "proven" (by the operations that make it, or by values
            that nothing else can have), "probed" (nothing that was tried contradicts it) or
            "unknown".
        remedies: all lines of code that mend it, the `remedy` first; either is enough.
        notes: what is worth a word though the loss fits, also on metrics.
        activation: that the last layer needs, where that mends it; None elsewhere.
    """

    output: str
    expects: str | None
    ok: bool | None
    problem: str = ""
    remedy: str = ""
    evidence: str = ""
    name: str = ""
    units: int | None = None
    outputs: tuple["LogitsReport", ...] = ()
    loss: tuple[str, bool] | None = None
    summary: str = ""
    strength: str = "unknown"
    remedies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    activation: str | None = None

    def __str__(self) -> str:
        if self.outputs:
            return "\n\n".join(f"{report.name}:\n{report}" for report in self.outputs)
        verdict = {True: "they agree", False: "they do not agree", None: "cannot tell"}[self.ok]
        if self.ok is None and self.expects is None and "there is no loss" in self.evidence:
            verdict = "no loss to compare with"
        strength = {"unknown": ""}.get(self.strength, f" ({self.strength})")
        lines = [
            ("output", f"{self.output}{strength}"),
            ("expects", self.expects or "-"),
            ("because", self.evidence),
            ("verdict", verdict),
            ("problem", self.problem),
            *(("remedy" if n == 0 else "or", line) for n, line in enumerate(self._lines())),
            *(("note", note) for note in self.notes),
        ]
        table = "\n".join(f"{key:8} {_wrapped(key, value)}" for key, value in lines if value)
        return f"{textwrap.fill(self.summary, 100)}\n{table}" if self.summary else table

    __repr__ = __str__

    def _lines(self) -> tuple[str, ...]:
        return self.remedies or (self.remedy,)

    def to_dict(self) -> dict[str, Any]:
        """The fields that are words and numbers, ready for JSON."""
        fields = {key: getattr(self, key) for key in FIELDS}
        fields |= {key: list(fields[key]) for key in ("remedies", "notes")}
        return fields | {"outputs": [report.to_dict() for report in self.outputs]}


def _wrapped(key: str, value: str) -> str:
    """Sentences in lines of 100 characters; code in one, to be copied."""
    if key in ("remedy", "or"):
        return value
    indent = " " * 9
    return textwrap.fill(value, 100, initial_indent=indent, subsequent_indent=indent).lstrip()
