"""Whether labels fit the loss and the units of a model, what is wrong if not, what mends it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from logit_sampling.diagnostics.label_statistics import LabelStatistics, Shape, has_rows
from logit_sampling.diagnostics.losses import Expectation

ROUNDING = 0.02  # labels of float16 may miss a sum of 1 by as much, which costs next to nothing


def takes(loss: Callable, expected: Expectation, shape: tuple[int, ...]) -> str | None:
    """Tell whether a categorical loss of the user's own takes "ids" or "one-hot"; None: unknown.

    A target in the right form costs least where its own class is predicted. Ids that are broadcast
    over the classes cost the same whatever class is.
    """
    if expected.family != "categorical" or expected.form is None or shape[-1] < 2:
        return None
    classes = (shape[-1] - 1, shape[-1] - 2)  # not the first, which padding may be
    rows = [np.full(shape[-1], 0.1 / (shape[-1] - 1)) for _ in classes]
    for row, label in zip(rows, classes, strict=True):
        row[label] = 0.9
    ones = np.ones(shape, np.float32)
    predictions = [ones * (np.log(r) if expected.form == "logits" else r) for r in rows]

    def fits(target: Callable[[int], np.ndarray]) -> bool:
        first, second = (
            [_mean(loss, target(label), prediction) for prediction in predictions]
            for label in classes
        )
        return bool(first[0] < first[1] - 1e-6 and second[1] < second[0] - 1e-6)

    ids = np.ones(shape[:-1], np.int32)
    forms = {
        "ids": fits(lambda label: ids * label) or fits(lambda label: (ids * label)[..., None]),
        "one-hot": fits(lambda label: ones * np.eye(shape[-1], dtype=np.float32)[label]),
    }
    right = [form for form, fit in forms.items() if fit]
    return right[0] if len(right) == 1 else None


def _mean(loss: Callable, target: np.ndarray, prediction: np.ndarray) -> float:
    """The mean of what a loss returns; NaN where it cannot be called."""
    import keras

    try:
        tensors = (keras.ops.convert_to_tensor(a) for a in (target, np.float32(prediction)))
        return float(np.mean(keras.ops.convert_to_numpy(loss(*tensors)), dtype=np.float64))
    except Exception:  # whatever a function of the user's raises for targets it is not for
        return np.nan


@dataclass(frozen=True)
class Problem:
    """What is wrong with labels, the line of code that mends it, and a word for the kind."""

    kind: str
    text: str
    remedy: str


@dataclass(frozen=True)
class _Case:
    stats: LabelStatistics
    y_shape: Shape
    output_shape: Shape
    expected: Expectation
    output: str
    who: str

    @property
    def units(self) -> int:
        return self.output_shape[self.expected.axis] or 0

    @property
    def whole(self) -> bool:
        return self.stats.fraction <= 0

    @property
    def classes(self) -> int:
        return int(self.stats.greatest) + 1

    @property
    def lie(self) -> str:
        return f"{self.who} lie in [{self.stats.lowest:g}, {self.stats.greatest:g}]"

    @property
    def taker(self) -> str:
        return self.expected.loss or "the loss"

    def loss(self, name: str, ignored: int | None = None) -> str:
        logits = self.output in ("logits", "log_probabilities")
        if self.output == "unknown":
            logits = self.expected.form == "logits"
        settings = f"from_logits={logits}"
        if self.expected.axis not in (-1, len(self.output_shape) - 1) and "Binary" not in name:
            settings += f", axis={self.expected.axis}"
        if ignored is not None:
            settings += f", ignore_class={ignored}"
        return f"model.compile(..., loss=keras.losses.{name}({settings}))"

    def layer(self, units: int, activation: str) -> str:
        if self.output in ("logits", "log_probabilities", "unknown"):
            activation = ""
        activation = activation and f', activation="{activation}"'
        if len(self.output_shape) == 4:
            return f"keras.layers.Conv2D({units}, 1{activation})"
        return f"keras.layers.Dense({units}{activation})"


def problem(
    stats: LabelStatistics,
    y_shape: Shape,
    output_shape: Shape,
    expected: Expectation,
    output: str = "unknown",
    name: str = "",
    takes: str | None = None,
    text: bool = False,
) -> Problem | None:
    """Tell what is wrong with the labels of one output; None if nothing is, or none are known.

    Args:
        stats: of the labels that were seen so far.
        y_shape: of the labels; None for an axis that is left open.
        output_shape: of the model's output, [batch, ..., units] or [batch].
        expected: what the loss expects.
        output: what the model puts out, the `output` of its report.
        name: of the output, where the model has several.
        takes: what `takes` says of a loss that Keras does not ship.
        text: what `is_text` says of the labels.
    """
    if len(output_shape) == 1:
        output_shape = (*output_shape, 1)
    case = _Case(
        *(stats, y_shape, output_shape, expected, output),
        f"The labels of output {name!r}" if name else "The labels",
    )
    if expected.family is None:
        return None
    if text:
        return Problem(
            "text",
            f"{case.who} are text, but Keras computes with numbers.",
            "names, y = np.unique(y, return_inverse=True)",
        )
    if stats.nan > 0:
        return Problem(
            "nan",
            f"{case.who} hold a NaN or an infinity: from then on all weights are NaN.",
            "keep = np.isfinite(y).reshape(len(y), -1).all(axis=1); x, y = x[keep], y[keep]",
        )
    if not case.units or stats.greatest == -math.inf:
        return None
    if expected.family == "binary":
        return _binary(case)
    if case.units == 1:
        return _more_than_two(case) if case.whole and stats.lowest >= 0 else None
    if (expected.loss or "").startswith("Sparse") or takes == "ids":
        return _ids(case)
    return _rows(case) if expected.loss or takes == "one-hot" else None


def _more_than_two(case: _Case) -> Problem | None:
    """Classes on a single unit."""
    from_1 = case.stats.lowest == 1
    classes = case.classes - from_1
    if classes <= 2:
        return None
    shift = ", y = y - 1" if from_1 else ""
    loss = case.loss("SparseCategoricalCrossentropy")
    return Problem(
        "one-unit",
        f"{case.lie} and are whole numbers: several classes, which one unit cannot tell apart. It "
        "takes a unit for each class.",
        f"{case.layer(classes, 'softmax')}  # and {loss}{shift}",
    )


def _binary(case: _Case) -> Problem | None:
    stats, units = case.stats, case.units
    if has_rows(case.y_shape, case.output_shape, case.expected.axis):
        return _columns(case) or _between_0_and_1(case)
    if units == 1:
        return _between_0_and_1(case)
    if not case.whole:
        return Problem(
            "columns",
            f"{case.who} are one number for each example, but {case.taker} asks {units} questions.",
            case.layer(1, "sigmoid"),
        )
    ids = "y - 1" if stats.lowest >= 1 and stats.greatest == units else "y"
    one_hot = f"y = keras.utils.to_categorical({ids}, {units})"
    sparse = case.loss("SparseCategoricalCrossentropy")
    return Problem(
        "ids",
        f"{case.who} are class ids, one for each example, but {case.taker} asks {units} "
        f"yes-or-no questions, one for each unit.",
        one_hot if case.output == "sigmoid" else f"{sparse}  # or {one_hot}",
    )


def _columns(case: _Case) -> Problem | None:
    """Another number of columns than units."""
    columns = case.y_shape[case.expected.axis]
    if columns == case.units or columns is None:
        return None
    text = f"{case.who} have {columns} columns, but the model has {case.units} units."
    if case.stats.one_hot and columns == 2 and case.units == 1 and len(case.y_shape) == 2:
        return Problem("columns", text + " One unit takes the column of the yes.", "y = y[:, 1:]")
    activation = "sigmoid" if case.expected.family == "binary" else "softmax"
    return Problem("columns", text, case.layer(columns, activation))


def _between_0_and_1(case: _Case) -> Problem | None:
    """Values that should be probabilities, each of its own."""
    low, high = case.stats.lowest, case.stats.greatest
    if low >= 0 and high <= 1:
        return None
    text = f"{case.lie}, but {case.taker} takes probabilities, from 0 to 1"
    if low >= 0 and high == 255:
        return Problem("range", f"{text}. These are the values of an image.", "y = y / 255")
    if not case.whole:
        return Problem("range", f"{text}. Numbers want a loss for numbers.", 'loss="mse"')
    if low == -1 and high <= 1 and case.stats.zero <= 0:
        return Problem("range", f"{text}: make -1 a 0.", "y = (y + 1) / 2")
    if low < 0:
        return Problem(
            "negative",
            f"{text}. If a negative label means that there is none, give it the weight 0.",
            'sample_weight = (y >= 0).astype("float32"); y = np.maximum(y, 0)',
        )
    if low >= 1 and high == 2:
        return Problem("from-1", f"{text}: count classes from 0.", "y = y - 1")
    if case.units == 1:
        return _more_than_two(case)
    return Problem("range", f"{text}: a yes-or-no, not how often.", "y = np.minimum(y, 1)")


def _ids(case: _Case) -> Problem | None:
    """Labels of a loss that takes class ids."""
    stats, units = case.stats, case.units
    low, high = stats.lowest, stats.greatest
    if has_rows(case.y_shape, case.output_shape, case.expected.axis):
        text = f"{case.who} have {case.y_shape[case.expected.axis]} columns"
        if stats.one_hot or abs(stats.greatest_sum - 1) < ROUNDING > abs(stats.least_sum - 1):
            name = "CategoricalCrossentropy"
            text += " and each row sums to 1: they are one-hot, or probabilities"
        elif case.whole and low >= 0 and high <= 1:
            name = "BinaryCrossentropy"
            text += " of 0 and 1: several answers may be right"
        else:
            return None  # of another shape altogether; Keras raises and shows both
        own = f"y = np.argmax(y, axis={case.expected.axis})"
        remedy = case.loss(name) if case.expected.loss or name.startswith("B") else own
        return Problem("one-hot", f"{text}, but {case.taker} takes class ids.", remedy)
    text = f"{case.lie}, but must be class ids from 0 to {units - 1} for {case.taker} and {units} "
    text += "units"
    if not case.whole:
        return Problem("fractions", f"{text}, which are whole numbers.", 'loss="mse"')
    if units == 2 and low == -1 and high == 1 and stats.zero <= 0:
        return Problem("negative", f"{text}: make -1 a 0.", "y = (y + 1) // 2")
    if low < 0:
        if low == stats.negative and stats.under >= 0:
            return _padding(case, int(low), text)
        return Problem(
            "negative",
            f"{text}: there is no class with a negative number.",
            "keep = y >= 0; x, y = x[keep], y[keep]",
        )
    if high < units:
        return None
    if high == 255 and 0 <= stats.under < units:
        return _padding(case, 255, text)
    if low >= 1 and high == units:
        return Problem("from-1", f"{text}: count classes from 0.", "y = y - 1")
    return Problem(
        "more-classes",
        f"{text}: give the model more units{'' if low == 0 else ', or count classes from 0'}.",
        case.layer(case.classes, "softmax"),
    )


def _padding(case: _Case, label: int, text: str) -> Problem:
    weight = f'sample_weight = (y != {label}).astype("float32"); y = np.where(y == {label}, 0, y)'
    keras_own = case.expected.loss and case.expected.ignored is None
    return Problem(
        "padding",
        f"{text}. If {label} marks what has no label, the loss must leave it out.",
        case.loss("SparseCategoricalCrossentropy", label) if keras_own else weight,
    )


def _rows(case: _Case) -> Problem | None:
    """Labels of a loss that takes a distribution for each row."""
    stats, units, own = case.stats, case.units, case.expected.loss
    low, high = stats.lowest, stats.greatest
    if not has_rows(case.y_shape, case.output_shape, case.expected.axis):
        if not case.whole:
            text = f"{case.lie} and are no classes, but {case.taker} takes one-hot rows."
            return Problem("fractions", text, 'loss="mse"')
        ids = "y - 1" if low >= 1 and high == units else "y"
        one_hot = f"y = keras.utils.to_categorical({ids}, {units})"
        last = case.expected.axis in (-1, len(case.output_shape) - 1)
        if not last:
            one_hot = f"y = np.moveaxis({one_hot[4:]}, -1, {case.expected.axis})"
        sparse = case.loss("SparseCategoricalCrossentropy")  # of TensorFlow: the last axis only
        return Problem(
            "ids",
            f"{case.who} are class ids, but {case.taker} takes one-hot rows of {units}.",
            f"{sparse}  # or {one_hot}" if last and own == "CategoricalCrossentropy" else one_hot,
        )
    if problem := _columns(case):
        return problem
    if low < 0 or (high == 255 and case.whole):
        return _between_0_and_1(case)
    if case.whole and stats.greatest_sum > 1:
        binary = (own or "CategoricalCrossentropy").replace("Categorical", "Binary")
        sigmoid = '  # and activation="sigmoid"' if case.output == "softmax" else ""
        return Problem(
            "many",
            f"{case.who} have rows that sum to {stats.greatest_sum:g}: several answers are right, "
            f"but {case.taker} takes one distribution for each row. Make each unit a yes-or-no of "
            "its own.",
            case.loss(binary) + sigmoid,
        )
    if stats.greatest_sum == 0 or (stats.least_sum == 0 and len(case.output_shape) == 2):
        which = "Rows" if stats.greatest_sum else "All rows"
        return Problem(
            "empty-rows",
            f"{which} of {case.who[0].lower() + case.who[1:]} sum to 0. They cost nothing: they "
            "teach nothing. Leave them out, or make what they mean a class of its own.",
            "keep = y.sum(axis=-1) > 0; x, y = x[keep], y[keep]",
        )
    least = 1.0 if stats.least_sum == 0 else stats.least_sum  # in a sequence, 0 is padding
    if max(stats.greatest_sum - 1, 1 - least) > ROUNDING:
        return Problem(
            "sums",
            f"{case.who} have rows that sum to {least:g} up to {stats.greatest_sum:g}, but "
            f"{case.taker} takes distributions, which sum to 1.",
            f"y = y / y.sum(axis={case.expected.axis}, keepdims=True)",
        )
    return None
