"""Do the output of a model and its loss agree, what goes wrong if not, and what mends it."""

import math
import textwrap
from dataclasses import dataclass
from typing import Any

from .losses import Expectation
from .outputs import Output

# Read from Keras 3.15: these look behind a softmax or sigmoid; the focal ones take another of it.
STRIPPING = ("BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy")


@dataclass(frozen=True, repr=False)
class LogitsReport:
    """What a model puts out and what its loss expects. `print` shows it.

    Attributes:
        output: "logits", "log_probabilities", "softmax", "sigmoid" or "unknown".
        expects: "logits", "probabilities", or None without a loss or if it cannot be told.
        ok: whether they agree; None if it cannot be told.
        problem: what goes wrong; empty when ok.
        remedy: the line of code that mends it; empty when ok.
        evidence: how `output` and `expects` are known.
        name: of the output.
        outputs: a report for each output, where a model has several. The fields above are then
            those of the worst one, and `ok` is true only if all are.
        units: the size of the axis that the classes lie on; None if unknown.
        loss: the name of the `keras.losses` class and the from_logits that agree with the output;
            None if no change of the loss does.
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

    def __str__(self) -> str:
        if self.outputs:
            return "\n\n".join(f"{report.name}:\n{report}" for report in self.outputs)
        verdict = {True: "they agree", False: "they do not agree", None: "cannot tell"}[self.ok]
        if self.ok is None and self.expects is None:
            verdict = "no loss to compare with"
        lines = [
            ("output", self.output),
            ("expects", self.expects or "-"),
            ("because", self.evidence),
            ("verdict", verdict),
            ("problem", self.problem),
            ("remedy", self.remedy),
        ]
        return "\n".join(f"{key:8} {_wrapped(key, value)}" for key, value in lines if value)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """The fields but `loss`, ready for JSON."""
        fields = {k: getattr(self, k) for k in ("name", "output", "expects", "ok", "problem")}
        fields |= {k: getattr(self, k) for k in ("remedy", "evidence", "units")}
        return fields | {"outputs": [report.to_dict() for report in self.outputs]}


def _wrapped(key: str, value: str) -> str:
    """Sentences in lines of 100 characters; code in one, to be copied."""
    if key == "remedy":
        return value
    indent = " " * 9
    return textwrap.fill(value, 100, initial_indent=indent, subsequent_indent=indent).lstrip()


def judge(output: Output, expected: Expectation, name: str) -> LogitsReport:
    """Compare an output with what its loss expects."""
    wrong = _disagreement(output, expected)
    known = output.kind != "unknown" and expected.form is not None
    problem, remedy, loss = wrong or ("", "", None)
    return LogitsReport(
        output=output.kind,
        expects=expected.form,
        ok=not wrong if known else None,
        problem=problem,
        remedy=remedy,
        evidence=f"{output.evidence}; {expected.evidence}",
        name=name,
        units=output.units,
        loss=loss,
    )


Wrong = tuple[str, str, tuple[str, bool] | None]


def _disagreement(output: Output, expected: Expectation) -> Wrong | None:
    kind, form, family = output.kind, expected.form, expected.family
    if kind == "unknown" or form is None:
        return None
    if output.units == 1 and (kind == "softmax" or family == "categorical"):
        return _one_unit(output, expected)
    categorical = family != "binary"
    if kind == "logits":
        if form == "probabilities":
            return _raw_scores(output, expected)
    elif kind == "log_probabilities":
        if form == "probabilities" or not categorical:
            problem = (
                "Log-probabilities are never above 0: as probabilities they are cut off at 1e-7."
                if form == "probabilities"
                else "A log-probability is not the logit of a yes-or-no question: its sigmoid is "
                "p/(1+p), never above 1/2."
            )
            return _mend(problem, expected, "categorical", True)
    elif form == "logits":
        return _twice(output, expected)
    elif kind == "softmax" and family == "binary" and output.stripped:
        return _softmax_as_binary(output, expected)
    elif kind == "sigmoid" and family == "categorical":
        return _sigmoid_as_categorical(output, expected)
    return None


def _one_unit(output: Output, expected: Expectation) -> Wrong:
    problem = (
        "A softmax over a single unit is 1 whatever the model computes: the loss is constant and "
        "nothing is learned."
    )
    if output.kind == "softmax":
        layer = output.layer or "the last layer"
        return problem, f'in {layer}: activation="sigmoid", with binary cross-entropy', None
    return _mend(problem, expected, "binary", output.kind == "logits")


def _raw_scores(output: Output, expected: Expectation) -> Wrong:
    sharing = "sigmoid" if expected.family == "binary" else "softmax"
    divided = "divided by their sum, " if (expected.loss or "").startswith("Categorical") else ""
    problem = (
        f"The loss takes raw scores for probabilities. There is no {sharing}; {divided}what is "
        "below 0 or above 1 is cut off (Keras: at 1e-7 and 1 - 1e-7) and has no gradient: a right "
        "answer with a score below 0 costs about 16 nats and is not corrected."
    )
    return _mend(problem, expected, expected.family, True)


def _twice(output: Output, expected: Expectation) -> Wrong:
    """Probabilities given to a loss that takes logits: squashed twice."""
    units = output.units or 2
    if expected.family == "binary":
        effect = (
            "The loss takes a sigmoid of what is in [0, 1] already, so that every answer counts as "
            "0.5 to 0.731: the loss cannot fall below 0.313 nats for a yes and 0.693 for a no."
        )
    else:
        floor = math.log(math.e + units - 1) - 1
        effect = (
            f"The loss takes a softmax of what is in [0, 1] already: with {units} classes it "
            f"starts at ln {units} = {math.log(units):.2f} nats and cannot fall below "
            f"{floor:.2f}, and gradients are small."
        )
    family = "binary" if output.kind == "sigmoid" else "categorical"
    if output.stripped and expected.loss in STRIPPING:
        effect += (
            f" Here Keras' TensorFlow backend warns and takes the values before the {output.kind}"
        )
        effect += (
            ": this training is right by luck. On another backend, in mixed precision, or with a "
            "layer after the activation it is not."
            if family == expected.family
            else f", but to train another thing than a {output.kind}: the ranking comes out right, "
            "the probabilities do not."
        )
    layer = output.layer or "the last layer"
    if family == expected.family or expected.loss != "SparseCategoricalCrossentropy":
        problem, remedy, loss = _mend(effect, expected, family, False)
        return problem, f"{remedy}  # or take the {output.kind} off {layer}", loss
    return effect, f"take the {output.kind} off {layer}", None


def _softmax_as_binary(output: Output, expected: Expectation) -> Wrong:
    """Only where Keras goes behind the softmax: else each probability is scored as it is."""
    problem = (
        "Keras' TensorFlow backend takes the scores before the softmax into a binary "
        "cross-entropy and trains their sigmoids, each class as a question of its own: the ranking "
        "is right, but what the softmax says was not trained (of two classes, a probability p "
        "comes out as p²/(p² + (1-p)²))."
    )
    return _mend(problem, expected, "categorical", False)


def _sigmoid_as_categorical(output: Output, expected: Expectation) -> Wrong:
    problem = (
        "Sigmoids answer a question each and need not sum to 1; categorical cross-entropy takes "
        "them for one distribution over all classes, and divides them by their sum."
    )
    if output.stripped:
        problem += (
            " Here Keras' TensorFlow backend takes the scores before the sigmoid and trains their "
            "softmax: the ranking is right, but what the sigmoid says was not trained."
        )
    layer = output.layer or "the last layer"
    return problem, f'in {layer}: activation="softmax" instead of "sigmoid"', None


def _mend(problem: str, expected: Expectation, family: str | None, from_logits: bool) -> Wrong:
    """The loss that agrees, as a line of code."""
    if expected.loss is None:
        flag = "from logits" if from_logits else "from probabilities"
        return problem, f"in your loss, compute {family or 'the'} cross-entropy {flag}", None
    name = expected.loss
    if family != expected.family:
        name = (
            name.replace("Binary", "Categorical")
            if family == "categorical"
            else name.replace("SparseCategorical", "Binary").replace("Categorical", "Binary")
        )
    line = f"model.compile(..., loss=keras.losses.{name}(from_logits={from_logits}))"
    return problem, line, (name, from_logits)
