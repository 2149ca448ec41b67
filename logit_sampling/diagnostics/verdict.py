"""Do the output of a model and its loss agree, and what goes wrong if not."""

import math
from dataclasses import dataclass

from logit_sampling.diagnostics.losses import PROBABILITY_LOSSES, Expectation
from logit_sampling.diagnostics.outputs import Output
from logit_sampling.diagnostics.report import LogitsReport

# Read from Keras 3.15: these look behind a softmax or sigmoid; the focal ones take another of it.
STRIPPING = ("BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy")
NAMES = {
    "logits": "raw scores (logits)",
    "log_probabilities": "log-probabilities",
    "softmax": "probabilities (a softmax)",
    "sigmoid": "probabilities (sigmoids)",
    "probabilities": "probabilities",
}


@dataclass(frozen=True)
class Wrong:
    """What goes wrong, and what agrees instead: a loss, an activation at the end, or both."""

    summary: str
    problem: str
    loss: tuple[str, bool] | None = None
    activation: str | None = None
    own: str = ""  # what to change in a loss of the user's own
    text: str = ""  # what mends it where no line of code does


def judge(output: Output, expected: Expectation, name: str) -> LogitsReport:
    """Compare an output, as it is in training, with what its loss expects."""
    at_work = output.training or output
    wrong = _disagreement(at_work, expected)
    known = at_work.kind != "unknown" and expected.form is not None
    ok = False if wrong else True if known else None
    return LogitsReport(
        output=at_work.kind,
        expects=expected.form,
        ok=ok,
        problem=wrong.problem if wrong else "",
        remedy=(wrong.text or (wrong.own if _own(expected) else "")) if wrong else "",
        evidence=f"{at_work.evidence}; {expected.evidence}",
        name=name,
        units=at_work.units,
        loss=wrong.loss if wrong else None,
        summary=wrong.summary if wrong else _summary(at_work, expected, ok),
        strength=at_work.strength,
        notes=() if wrong and wrong.activation == "linear" else tuple(_notes(output, expected)),
        activation=wrong.activation if wrong else None,
    )


def _own(expected: Expectation) -> bool:
    """Whether a loss is the user's, who can change it."""
    return expected.loss is None and expected.title not in PROBABILITY_LOSSES.values()


def _summary(output: Output, expected: Expectation, ok: bool | None) -> str:
    gives = NAMES.get(output.kind)
    if ok:
        return f"The model gives {gives}, and the loss expects them: they fit."
    if gives is None:
        return "What the model gives, logits or probabilities, cannot be told for sure."
    if expected.evidence.startswith("there is no loss"):
        return f"The model gives {gives}."
    return f"The model gives {gives}; whether its loss wants them cannot be told."


def _notes(output: Output, expected: Expectation) -> list[str]:
    """What is worth a word though the loss fits."""
    notes = []
    at_work = output.training or output
    if output.training:
        notes.append(
            f"in training the model gives {NAMES[at_work.kind]}, else {NAMES[output.kind]}: the "
            "loss that evaluate and validation show is that of another kind of output"
        )
    if at_work.kind != "logits" or expected.form != "logits":
        return notes
    units, low, high = at_work.units or 1, at_work.low, at_work.high
    if math.isfinite(high - low):
        span = high - low
        least = (
            math.log1p(math.exp(-high)) if units == 1 else math.log1p((units - 1) * math.exp(-span))
        )
        if least >= 0.01:
            notes.append(
                f"the scores stay within [{low:g}, {high:g}], so the loss cannot fall below "
                f"{least:.2f}: leave the last activation out"
            )
    elif low >= 0:
        notes.append(
            "the scores are never below 0: a rectified score has no gradient there, so leave the "
            "last activation out"
        )
    return notes


def _disagreement(output: Output, expected: Expectation) -> Wrong | None:
    kind, form, family = output.kind, expected.form, expected.family
    if kind == "unknown" or form is None:
        return _doubled(output) if kind != "unknown" and output.twice else None
    if output.values is not None and kind in ("softmax", "log_probabilities"):
        rank = output.values.ndim
        if (output.axis - expected.axis) % rank:
            return _other_axis(output, expected)
    if output.units == 1 and (kind == "softmax" or family == "categorical"):
        return _one_unit(output, expected)
    if form == "log_probabilities":
        return None if kind == "log_probabilities" else _not_the_logarithm(output)
    if kind == "logits":
        return _raw_scores(output, expected) if form == "probabilities" else None
    if kind == "log_probabilities":
        return _logarithm(output, expected)
    if form == "logits":
        return _twice(output, expected)
    if output.twice:
        return _doubled(output)
    if kind == "softmax" and family == "binary" and output.stripped and expected.loss:
        return _softmax_as_binary(output, expected)
    if kind == "sigmoid" and family == "categorical" and (output.units or 2) > 1:
        return _sigmoid_as_categorical(output, expected)
    return None


def _stripped(output: Output, expected: Expectation) -> bool:
    return output.stripped and expected.loss in STRIPPING


def _doubled(output: Output) -> Wrong:
    units = output.units or 2
    floor = math.log(math.e + units - 1) - 1
    end = f"the loss cannot fall below {floor:.2f}" if units > 1 else "the answers stay near 1/2"
    return Wrong(
        f"The model takes a {output.kind} of a {output.twice}: leave one of them out.",
        f"The {output.kind} at the end is taken of what is in [0, 1] already, so that all answers "
        f"come out much alike: {end}.",
        activation="linear",
    )


def _other_axis(output: Output, expected: Expectation) -> Wrong:
    rank = output.values.ndim if output.values is not None else 0
    axis, wanted = output.axis % rank if rank else output.axis, expected.axis
    return Wrong(
        "The softmax and the loss look along different axes.",
        f"The softmax divides along axis {axis}, but the loss takes what lies along axis {wanted} "
        "for one distribution.",
        text=f"let both look along the axis of the classes: Softmax(axis={wanted}), or a loss with "
        f"axis={axis}",
    )


def _one_unit(output: Output, expected: Expectation) -> Wrong:
    problem = (
        "A softmax over a single unit is 1 whatever the model computes: the loss is constant and "
        "nothing is learned."
    )
    if (expected.loss or "").startswith("Sparse"):
        problem += " With more than two classes, give the last layer a unit for each."
    summary = "There is only one unit, and a softmax over one unit is always 1."
    if output.kind == "softmax":
        return Wrong(
            summary,
            problem,
            activation="sigmoid",
        )
    return Wrong(
        summary,
        problem,
        _other("Binary", expected, output.kind in ("logits", "log_probabilities")),
        own="in your loss, compute binary cross-entropy, or give the model a unit for each class",
    )


def _raw_scores(output: Output, expected: Expectation) -> Wrong:
    one = output.units == 1
    activation = "sigmoid" if expected.family == "binary" or one else "softmax"
    summary = "The model gives raw scores (logits), but the loss expects probabilities."
    if expected.loss is None:
        problem = (
            f"The loss takes raw scores for probabilities: there is no {activation} anywhere, and "
            "scores below 0 or above 1 mean nothing to it."
        )
    else:
        divided = "divided by their sum, " if expected.loss.startswith("Categorical") else ""
        problem = (
            f"The loss takes raw scores for probabilities. There is no {activation}; {divided}what "
            "is below 0 or above 1 is cut off (Keras: at 1e-7 and 1 - 1e-7) and has no gradient: a "
            "right answer with a score below 0 costs about 16 nats and is not corrected."
        )
    if math.isfinite(output.high - output.low):  # a tanh: bounded scores are no good logits either
        problem += f" The last activation keeps them within [{output.low:g}, {output.high:g}]."
        return Wrong(summary, problem, activation=activation)
    family = expected.family or ("binary" if activation == "sigmoid" else "categorical")
    return Wrong(
        summary,
        problem,
        _same(expected, True),
        activation,
        f"in your loss, compute {family} cross-entropy from logits",
    )


def _logarithm(output: Output, expected: Expectation) -> Wrong | None:
    if expected.form == "probabilities":
        return Wrong(
            "The model gives log-probabilities, but the loss expects probabilities.",
            "Log-probabilities are never above 0: as probabilities they are cut off at 1e-7.",
            _other("Categorical", expected, True),
            "sigmoid" if expected.family == "binary" else "softmax",
            "in your loss, compute categorical cross-entropy from logits",
        )
    if expected.family != "binary":
        return None
    return Wrong(
        "The model gives log-probabilities of classes, but the loss asks a question of each unit.",
        "A log-probability is not the logit of a yes-or-no question: its sigmoid is p/(1+p), never "
        "above 1/2.",
        _other("Categorical", expected, True),
        own="in your loss, compute categorical cross-entropy from logits",
    )


def _not_the_logarithm(output: Output) -> Wrong:
    gives = NAMES[output.kind]
    effect = (
        "they have no lower bound, and the loss falls to minus infinity while nothing is learned"
        if output.kind == "logits"
        else "the loss then is minus the probability, between -1 and 0, and its gradients vanish "
        "where the model is wrong"
    )
    return Wrong(
        f"The loss expects log-probabilities, but the model gives {gives}.",
        f"The loss multiplies what it gets with the labels and takes no logarithm. Given "
        f"{gives}, {effect}.",
        activation="log_softmax",
        own="in your loss, take the logarithm of a softmax",
    )


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
    if _stripped(output, expected):
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
    summary = (
        f"The model ends in a {output.kind}, and the loss takes another one: leave one of them out."
    )
    loss = _other(family.capitalize(), expected, False)
    if family != expected.family and expected.loss == "SparseCategoricalCrossentropy":
        loss = None
    return Wrong(
        summary,
        effect,
        loss,
        "linear",
        f"in your loss, compute {family} cross-entropy from probabilities",
    )


def _softmax_as_binary(output: Output, expected: Expectation) -> Wrong:
    """Only where Keras goes behind the softmax: else each probability is scored as it is."""
    effect = (
        "trains their sigmoids, each class as a question of its own: the ranking is right, but "
        "what the softmax says was not trained (of two classes, a probability p comes out as "
        "p²/(p² + (1-p)²))."
        if expected.loss in STRIPPING
        else "weighs what it finds with the softmax: half of the loss is about sigmoids of the "
        "scores, half about their softmax."
    )
    return Wrong(
        "The model ends in a softmax, but the loss asks a yes-or-no question of each unit.",
        "Keras' TensorFlow backend takes the scores before the softmax into a binary "
        f"cross-entropy and {effect}",
        _other("Categorical", expected, False),
        "sigmoid",
    )


def _sigmoid_as_categorical(output: Output, expected: Expectation) -> Wrong:
    problem = (
        "Sigmoids answer a question each and need not sum to 1; categorical cross-entropy takes "
        "them for one distribution over all classes, and divides them by their sum."
    )
    if _stripped(output, expected):
        problem += (
            " Here Keras' TensorFlow backend takes the scores before the sigmoid and trains their "
            "softmax: the ranking is right, but what the sigmoid says was not trained."
        )
    return Wrong(
        "The model ends in sigmoids, but the loss expects one distribution over all classes.",
        problem,
        activation="softmax",
    )


def _same(expected: Expectation, from_logits: bool) -> tuple[str, bool] | None:
    return (expected.loss, from_logits) if expected.loss else None


def _other(family: str, expected: Expectation, from_logits: bool) -> tuple[str, bool] | None:
    """The loss of the user in another family: "Binary" or "Categorical"."""
    if expected.loss is None:
        return None
    if family.lower() == expected.family:
        return expected.loss, from_logits
    name = expected.loss
    if family == "Categorical":
        name = name.replace("Binary", "Categorical")
    else:
        name = name.replace("SparseCategorical", "Binary").replace("Categorical", "Binary")
    return name, from_logits
