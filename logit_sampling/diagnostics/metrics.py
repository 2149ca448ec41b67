"""Which metrics of a compiled model suit its output, what is wrong with the others, what mends it.

Only the output decides: a metric that takes logits for probabilities shows a wrong number, whatever
the loss takes. Read from Keras 3.15.
"""

import inspect
import math
import re
from dataclasses import dataclass, field
from typing import Any

import keras

from logit_sampling.diagnostics.losses import CROSS_ENTROPIES, Expectation

ACCURACIES = ("CategoricalAccuracy", "SparseCategoricalAccuracy")
TOP_K = ("TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy")
COUNTS = ("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives")
THRESHOLDS = {"BinaryAccuracy": "threshold", "BinaryIoU": "threshold"}
THRESHOLDS |= dict.fromkeys(("Precision", "Recall", *COUNTS), "thresholds")
THRESHOLDS |= dict.fromkeys(("F1Score", "FBetaScore"), "threshold")
SWEEPS = (
    *("AUC", "PrecisionAtRecall", "RecallAtPrecision"),
    *("SensitivityAtSpecificity", "SpecificityAtSensitivity"),
)
HINGES = ("Hinge", "SquaredHinge", "CategoricalHinge")
OVERLAPS = ("IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU")


@keras.saving.register_keras_serializable("logit_sampling")
class OnProbabilities(keras.metrics.Metric):
    """A metric that takes probabilities, for a model that puts out logits.

    Args:
        metric: a `keras.metrics.Metric`, whose name it takes over.
        activation: what makes probabilities of the output, "sigmoid" or "softmax".
    """

    def __init__(self, metric: Any, activation: str, name: str | None = None) -> None:
        super().__init__(name=name or metric.name, dtype=metric.dtype)
        self.metric = metric
        self.activation = activation
        # A layer hands on the mask of padded steps, which a function loses.
        self._layer = keras.layers.Activation(activation, dtype="float32", name=activation)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch of labels and logits."""
        probabilities = self._layer(y_pred)
        self.metric.update_state(y_true, probabilities, sample_weight)

    def reset_state(self) -> None:
        """Forget all batches."""
        self.metric.reset_state()

    def result(self) -> Any:
        """What the metric says of the probabilities."""
        return self.metric.result()

    def get_config(self) -> dict[str, Any]:
        """The metric's own configuration, and the activation."""
        return {"metric": keras.saving.serialize_keras_object(self.metric), "name": self.name} | {
            "activation": self.activation
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OnProbabilities":
        """Make it anew."""
        return cls(**config | {"metric": keras.saving.deserialize_keras_object(config["metric"])})


@dataclass(frozen=True)
class MetricReport:
    """What is known of one metric.

    Attributes:
        name: that it has in the history of a run.
        ok: whether it suits the output; None if it cannot be told.
        problem: what is wrong; empty when ok.
        remedy: the line of code that mends it; empty when ok.
        replacement: the metric that suits; None when ok, or if another metric mends nothing.
    """

    name: str
    ok: bool | None = None
    problem: str = ""
    remedy: str = ""
    replacement: Any = None


@dataclass(frozen=True)
class _Change:
    """The metric that suits; without `kind` the labels must change."""

    problem: str
    kind: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    on_probabilities: bool = False


def mended(metrics: list[Any], *facts: Any, **settings: Any) -> list[Any]:
    """The metrics, the wrong ones replaced; takes what `judge_metrics` takes."""
    reports = judge_metrics(metrics, *facts, **settings)
    return [
        old if report.replacement is None else report.replacement
        for old, report in zip(metrics, reports, strict=True)
    ]


def judge_metrics(
    metrics: list, output: str, units: int | None, expected: Expectation, labels: str = ""
) -> list[MetricReport]:
    """Tell of each metric of one output whether it suits.

    Args:
        metrics: names, functions and `keras.metrics` objects, as given to `compile`.
        output: what the model puts out, the `output` of its report.
        units: the size of its last axis; None if unknown.
        expected: what the loss expects; it tells a distribution from questions of their own.
        labels: "ids", "one-hot", "many" or else, see `form_of`; by default what the loss
            takes.
    """
    if not labels and expected.loss and expected.family == "categorical":
        labels = "ids" if expected.loss.startswith("Sparse") else "one-hot"
    return [_Judge(output, units, expected.family, labels).report(metric) for metric in metrics]


@dataclass(frozen=True)
class _Judge:
    """An output, and what is known of its labels."""

    output: str
    units: int | None
    family: str | None
    labels: str

    @property
    def logits(self) -> bool:
        return self.output in ("logits", "log_probabilities")

    @property
    def one_distribution(self) -> bool:
        """Whether the units share one distribution, as far as is known."""
        if self.units == 1 or self.output == "sigmoid":
            return False
        return self.family == "categorical" or self.output in ("softmax", "log_probabilities")

    @property
    def cut(self) -> float:
        """Where a yes begins."""
        return 0.0 if self.logits else 0.5

    def report(self, metric: Any) -> MetricReport:
        wrapped = isinstance(metric, OnProbabilities)
        name, kind, settings, module = _known(metric.metric if wrapped else metric)
        if wrapped:
            name = metric.name
        if not kind or self.output == "unknown" or not self.units:
            return MetricReport(name)
        verdict = self._judge(kind, settings)
        if wrapped:
            verdict = self.logits or _Change(self._mistaken, kind, settings)
        if not isinstance(verdict, _Change):
            return MetricReport(name, verdict)
        if not verdict.kind:
            line = f"y = keras.utils.to_categorical(y, {self.units})"
            return MetricReport(name, False, verdict.problem, line)
        if verdict.kind == "accuracy":  # Keras finds out which by the labels
            return MetricReport(name, False, verdict.problem, '"accuracy"', "accuracy")
        module = module if hasattr(getattr(keras, module), verdict.kind) else "metrics"
        new = getattr(getattr(keras, module), verdict.kind)
        settings = _own(new, verdict.settings) | {"name": name}
        values = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        remedy = f"keras.{module}.{verdict.kind}({values})"
        replacement = new(**settings)
        if verdict.on_probabilities:
            softmax = self.one_distribution
            if verdict.kind == "KLDivergence":  # of one distribution from another
                softmax = self.units != 1 and self.family != "binary"
            activation = "softmax" if softmax else "sigmoid"
            remedy = f'ls.diagnostics.metrics.OnProbabilities({remedy}, "{activation}")'
            replacement = OnProbabilities(replacement, activation)
        return MetricReport(name, False, verdict.problem, remedy, replacement)

    def _judge(self, kind: str, settings: dict[str, Any]) -> _Change | bool | None:
        if kind == "accuracy":
            return self._automatic_accuracy()
        if kind == "Accuracy":
            problem = "It counts outputs that equal the label, but outputs are no labels."
            return self._accuracy(problem)
        if kind in ACCURACIES + TOP_K:
            return self._greatest(kind, settings)
        if kind in OVERLAPS:
            return self._overlap(kind, settings)
        if kind.replace("Sparse", "") in CROSS_ENTROPIES.values():
            return self._cross_entropy(kind, settings)
        if kind in HINGES:
            return True if self.output == "logits" else None
        halves = self.units == 2 and self.labels == "one-hot" and not self.logits
        if kind == "BinaryAccuracy" and self.one_distribution and not halves:
            problem = "It takes each unit for a question: of 10 classes, it counts 9 right noes."
            return self._accuracy(problem)
        if kind not in (*THRESHOLDS, *SWEEPS, "KLDivergence"):
            return None
        if self.labels == "ids" and (self.units or 0) > 1:
            return _Change("It compares each unit with a label of its own, but labels are ids.")
        if kind in THRESHOLDS:
            return self._threshold(kind, settings)
        if kind == "AUC" and settings["from_logits"] != (self.logits and not self.one_distribution):
            return self._auc(settings)
        if self.logits and not settings.get("from_logits"):
            return _Change(self._mistaken, kind, settings, on_probabilities=True)
        return True

    def _accuracy(self, problem: str) -> _Change:
        """The accuracy that suits the labels."""
        if self.units == 1 or (self.labels == "many" and not self.one_distribution):
            return _Change(problem, "BinaryAccuracy", {"threshold": self.cut})
        kind = {"ids": ACCURACIES[1], "one-hot": ACCURACIES[0]}.get(self.labels, "accuracy")
        return _Change(problem, kind)

    def _one_of_many(self) -> _Change | None:
        if self.one_distribution:  # the labels are what is wrong
            return None
        return self._accuracy("It compares the greatest unit only, but several may be right.")

    def _automatic_accuracy(self) -> _Change | bool | None:
        if self.units == 1:
            problem = "It cuts at 0.5, but the logit of a probability of 0.5 is 0."
            return self._accuracy(problem) if self.logits else True
        if self.labels == "many":
            return self._one_of_many()
        return True if self.labels or self.one_distribution else None

    def _greatest(self, kind: str, settings: dict[str, Any]) -> _Change | bool | None:
        """Metrics that look which unit is the greatest: the same for logits and probabilities."""
        if self.units == 1:
            return self._accuracy("It looks for the greatest unit, but there is a single one.")
        if self.labels == "many":
            return None if kind in TOP_K else self._one_of_many()
        return self._other_labels(kind, settings) or True

    def _other_labels(self, kind: str, settings: dict[str, Any]) -> _Change | None:
        """The twin of a metric that takes ids for one-hot labels, or the other way round."""
        sparse = kind.startswith("Sparse")
        if sparse and self.labels == "one-hot":
            return _Change("It takes ids, but labels are one-hot.", kind[6:], settings)
        if not sparse and "Categorical" in kind and self.labels == "ids":
            twin = "Sparse" + kind if hasattr(keras.metrics, "Sparse" + kind) else ""
            return _Change("It takes one-hot labels, but labels are ids.", twin, settings)
        return None

    def _overlap(self, kind: str, settings: dict[str, Any]) -> _Change | bool | None:
        if self.units == 1:
            problem = "It takes outputs for class ids, but the output is one score, cut at 0.5."
            targets = [n for n in settings.get("target_class_ids", [0, 1]) if n in (0, 1)]
            return _Change(
                problem,
                "BinaryIoU",
                {"target_class_ids": targets or [0, 1]} | {"threshold": self.cut},
            )
        if self.labels in ("many", "numbers"):
            return None
        sparse = settings.get("sparse_y_true", False)
        ids = sparse if not self.labels else self.labels == "ids"
        if not settings["sparse_y_pred"] and sparse == ids:
            return True
        problem = "It takes outputs for class ids, but there is a score for each class."
        if sparse != ids:
            problem = f"It takes labels for {'ids' if sparse else 'one-hot'}, which they are not."
        settings = settings | {"sparse_y_true": ids, "sparse_y_pred": False}
        return _Change(problem, kind.replace("OneHot", "") if ids else kind, settings)

    @property
    def _mistaken(self) -> str:
        forms = ("logits", "probabilities") if self.logits else ("probabilities", "logits")
        return "It takes {} for {}.".format(*forms)

    def _cross_entropy(self, kind: str, settings: dict[str, Any]) -> _Change | bool:
        new = settings | {"from_logits": self.logits}
        if self.units == 1 and "Binary" not in kind:
            problem = "A distribution over a single unit is always 1."
            name = kind.replace("Sparse", "").replace("Categorical", "Binary")
            return _Change(problem, name, new)
        if change := self._other_labels(kind, new):
            return change
        return settings["from_logits"] == self.logits or _Change(self._mistaken, kind, new)

    def _auc(self, settings: dict[str, Any]) -> _Change:
        of_sigmoids = self.logits and not self.one_distribution
        problem = self._mistaken
        if self.logits and settings["from_logits"]:
            problem = "It takes a sigmoid of each logit, but the model's answer is their softmax."
        new = settings | {"from_logits": of_sigmoids}
        return _Change(problem, "AUC", new, self.logits and not of_sigmoids)

    def _threshold(self, kind: str, settings: dict[str, Any]) -> _Change | bool:
        """Metrics that cut at a probability."""
        key = THRESHOLDS[kind]
        given = settings[key]
        if given is None and "Score" in kind:  # the greatest unit is the answer
            if self.units != 1 and self.labels != "many":
                return True
            problem = "Without a threshold the greatest unit is the only yes"
            problem += ", and there is a single one." if self.units == 1 else "."
            return _Change(problem, kind, settings | {key: 0.5}, self.logits)
        if given is None and settings.get("top_k") is not None:
            return True
        cuts = given if isinstance(given, (list, tuple)) else [0.5 if given is None else given]
        shown = " and ".join(f"{cut:g}" for cut in cuts)
        if len(cuts) == 1 and not 0 < cuts[0] <= 1:  # meant for the logits of sigmoids
            new = settings | {key: (1 + math.tanh(cuts[0] / 2)) / 2}  # the sigmoid
            if not self.logits:
                problem = f"It cuts at {shown}, but probabilities lie in [0, 1]."
                return _Change(problem, kind, new)
            problem = f"It cuts logits at {shown}, but the model's answer is their softmax."
            return not self.one_distribution or _Change(problem, kind, new, True)
        if not self.logits:
            return True
        problem = f"It cuts logits at {shown}, as if they were probabilities."
        if cuts == [0.5] and not self.one_distribution and "Score" not in kind:
            return _Change(problem, kind, settings | {key: 0.0})  # Keras lets scores not cut at 0
        return _Change(problem, kind, settings, on_probabilities=True)


def _known(metric: Any) -> tuple[str, str, dict[str, Any], str]:
    """Name, class ("" if it is none of Keras'), settings and module of a metric."""
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        return metric, "accuracy", {}, "metrics"
    name = metric if isinstance(metric, str) else getattr(metric, "name", None)
    kind: Any = type(metric)
    settings: dict[str, Any] = {}
    if isinstance(metric, (keras.metrics.Metric, keras.losses.Loss)):
        settings = metric.get_config() if _module(kind) else {}
    else:
        title = metric if isinstance(metric, str) else getattr(metric, "__name__", "")
        name = name or _snake_case(title)
        kind = _CLASSES.get(title) or getattr(keras.losses, CROSS_ENTROPIES.get(title, ""), None)
        shipped = [getattr(module, title, None) for module in (keras.metrics, keras.losses)]
        if kind is None or not (isinstance(metric, str) or any(metric is own for own in shipped)):
            return name, "", {}, ""
        try:
            settings = kind(name=name).get_config()
        except TypeError:  # it has settings without a default, which a name does not tell
            return name, "", {}, ""
    settings = {key: _plain(value) for key, value in settings.items()}
    module = _module(kind)
    return name or "", kind.__name__ if module else "", settings, module


def _plain(value: Any) -> Any:
    """Numbers of Python, whose text is code, instead of tensors and numbers of NumPy."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return keras.ops.convert_to_numpy(value).tolist() if hasattr(value, "dtype") else value


def _module(kind: Any) -> str:
    """Which module of Keras a class is from; empty if it is a user's own."""
    for module in ("metrics", "losses"):
        if getattr(getattr(keras, module), kind.__name__, None) is kind:
            return module
    return ""


def _snake_case(name: str) -> str:
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


_CLASSES = {name: kind for name, kind in vars(keras.metrics).items() if inspect.isclass(kind)}
_CLASSES |= {_snake_case(name): kind for name, kind in _CLASSES.items()}
_CLASSES |= dict.fromkeys(("bce", "BCE"), keras.metrics.BinaryCrossentropy)


def _own(kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a class takes and that are not its defaults."""
    own = {}
    for key, parameter in inspect.signature(kind.__init__).parameters.items():
        if key in settings and key != "name":
            value, default = settings[key], parameter.default
            same = list(value) == list(default) if isinstance(default, tuple) else value == default
            usual = key == "dtype" and value in (keras.config.floatx(), "int64")
            if not same and not usual:
                own[key] = value
    return own
