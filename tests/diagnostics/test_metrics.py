"""Which metrics suit logits or probabilities: what is said is shown by the metrics' own values."""

import inspect
from typing import Any

import keras
import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.diagnostics.losses import Expectation, expectation
from logit_sampling.diagnostics.metrics import MetricReport, OnProbabilities, judge_metrics, mended

M, losses, ops = keras.metrics, keras.losses, keras.ops
RNG = np.random.default_rng(0)
N = 200
IDS = RNG.integers(0, 4, N)
HOT = np.eye(4, dtype=np.float32)[IDS]
Z = (1.5 * RNG.normal(size=(N, 4)) + 1.5 * HOT).astype(np.float32)
SOFTMAX = np.exp(Z) / np.exp(Z).sum(-1, keepdims=True)
Z1 = (2 * RNG.normal(size=(N, 1)) + 0.2).astype(np.float32)
YES = (RNG.random((N, 1)) < 1 / (1 + np.exp(-Z1))).astype(np.float32)
MANY = (RNG.random((N, 4)) < 1 / (1 + np.exp(-Z))).astype(np.float32)

# name: (labels, logits, probabilities, kind of these, what the loss expects, form of the labels)
SETTINGS: dict[str, tuple] = {
    "yes": (YES, Z1, 1 / (1 + np.exp(-Z1)), "sigmoid", "binary", ""),
    "many": (MANY, Z, 1 / (1 + np.exp(-Z)), "sigmoid", "binary", "many"),
    "hot": (HOT, Z, SOFTMAX, "softmax", "categorical", "one-hot"),
    "ids": (IDS[:, None], Z, SOFTMAX, "softmax", "categorical", "ids"),
}


def judge(metric: Any, setting: str, logits: bool) -> MetricReport:
    _, z, _, kind, family, labels = SETTINGS[setting]
    output = "logits" if logits else kind
    (report,) = judge_metrics(
        [metric], output, z.shape[-1], Expectation(family=family), labels=labels
    )
    return report


def value(metric: Any, y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """What Keras shows; "accuracy" becomes what `compile` makes of it."""
    if metric in ("accuracy", "acc"):
        units = prediction.shape[-1]
        kind = M.SparseCategoricalAccuracy if y.shape[-1] == 1 else M.CategoricalAccuracy
        metric = M.BinaryAccuracy() if units == 1 else kind()
    metric = M.get(metric)
    if not isinstance(metric, M.Metric):
        metric = M.MeanMetricWrapper(metric)
    metric.reset_state()
    metric.update_state(ops.convert_to_tensor(y), ops.convert_to_tensor(prediction))
    return np.asarray(ops.convert_to_numpy(metric.result()))


def run(remedy: str) -> Any:
    return eval(remedy, {"keras": keras, "ls": ls})


# Metrics that suit probabilities, and not logits.
OF_PROBABILITIES = [
    *[("yes", metric) for metric in ("accuracy", "acc", "binary_accuracy", "BinaryAccuracy")],
    ("yes", M.binary_accuracy),
    ("yes", M.BinaryAccuracy),
    ("yes", M.BinaryAccuracy(name="mine", threshold=0.3)),
    ("many", M.BinaryAccuracy(threshold=0.7)),
    ("yes", M.BinaryIoU(target_class_ids=[1], threshold=0.4)),
    ("hot", M.BinaryIoU()),
    ("yes", M.AUC(name="auc")),
    ("yes", M.AUC(curve="PR", num_thresholds=50)),
    ("yes", "AUC"),
    ("yes", M.AUC(thresholds=[0.2, 0.6])),
    ("many", M.AUC(multi_label=True, num_labels=4, label_weights=[1.0, 2.0, 1.0, 1.0])),
    ("hot", M.AUC()),
    ("yes", M.Precision()),
    ("yes", "precision"),
    ("yes", M.Precision(thresholds=0.6, name="p6")),
    ("yes", M.Recall(thresholds=[0.3, 0.6])),
    ("yes", M.Recall(thresholds=[0.55, 0.7])),
    ("many", M.Recall(class_id=1)),
    ("hot", M.Precision()),
    ("hot", M.Recall(class_id=2)),
    ("hot", M.Recall(top_k=2, thresholds=0.3)),
    *[("yes", kind()) for kind in (M.TruePositives, M.TrueNegatives)],
    *[("many", kind()) for kind in (M.FalsePositives, M.FalseNegatives)],
    ("many", M.F1Score(threshold=0.5, average="micro")),
    ("yes", M.F1Score(threshold=0.5)),
    ("hot", M.FBetaScore(beta=2.0, threshold=0.4)),
    ("yes", M.PrecisionAtRecall(0.9)),
    ("yes", M.RecallAtPrecision(0.6, num_thresholds=50)),
    ("yes", M.SensitivityAtSpecificity(0.5)),
    ("yes", M.SpecificityAtSensitivity(0.95)),
    ("hot", M.SensitivityAtSpecificity(0.2, class_id=1)),
    ("yes", M.BinaryCrossentropy()),
    ("many", "binary_crossentropy"),
    ("yes", "bce"),
    ("yes", losses.binary_crossentropy),
    ("many", losses.binary_focal_crossentropy),
    ("hot", M.CategoricalCrossentropy(label_smoothing=0.1)),
    ("hot", "categorical_crossentropy"),
    ("hot", losses.CategoricalCrossentropy(name="cce", label_smoothing=0.1)),
    ("hot", losses.categorical_crossentropy),
    ("ids", "sparse_categorical_crossentropy"),
    ("ids", M.SparseCategoricalCrossentropy()),
    ("ids", M.SparseCategoricalCrossentropy(ignore_class=2)),
    ("ids", M.SparseCategoricalCrossentropy),
    ("hot", M.KLDivergence()),
    ("hot", "kl_divergence"),
    ("hot", losses.kl_divergence),
]
# Metrics of the order of scores, or of scores themselves.
OF_BOTH = [
    ("hot", "accuracy"),
    ("ids", "acc"),
    ("hot", M.CategoricalAccuracy()),
    ("hot", M.categorical_accuracy),
    ("ids", "sparse_categorical_accuracy"),
    ("ids", M.SparseCategoricalAccuracy()),
    ("hot", M.TopKCategoricalAccuracy(k=2)),
    ("ids", M.SparseTopKCategoricalAccuracy(k=2)),
    ("hot", M.F1Score()),
    ("hot", M.FBetaScore(average="macro")),
    ("hot", M.Precision(top_k=2)),
    ("ids", M.MeanIoU(4, sparse_y_pred=False)),
    ("hot", M.MeanIoU(4, sparse_y_true=False, sparse_y_pred=False)),
    ("ids", M.IoU(4, [1], sparse_y_pred=False)),
    ("hot", M.OneHotIoU(4, [1])),
    ("hot", M.OneHotMeanIoU(4)),
]
# Metrics that suit logits, and not probabilities.
OF_LOGITS = [
    ("yes", M.BinaryAccuracy(threshold=0.0)),
    ("yes", M.BinaryAccuracy(threshold=-0.5)),
    ("many", OnProbabilities(M.Precision(), "sigmoid", name="renamed")),
    ("yes", M.BinaryIoU(threshold=0.0)),
    ("many", M.Precision(thresholds=0)),
    ("yes", M.TruePositives(thresholds=0.0)),
    ("yes", M.AUC(from_logits=True)),
    ("many", M.AUC(from_logits=True, curve="PR")),
    ("yes", M.BinaryCrossentropy(from_logits=True)),
    ("hot", M.CategoricalCrossentropy(from_logits=True)),
    ("ids", M.SparseCategoricalCrossentropy(from_logits=True)),
    ("hot", losses.CategoricalCrossentropy(from_logits=True)),
    ("yes", OnProbabilities(M.F1Score(threshold=0.5), "sigmoid")),
    ("hot", OnProbabilities(M.AUC(), "softmax")),
]


def name_of(metric: Any) -> str:
    return getattr(metric, "name", None) or getattr(metric, "__name__", None) or metric


def ids(table: list) -> list[str]:
    return [f"{n}-{setting}-{name_of(metric)}" for n, (setting, metric) in enumerate(table)]


@pytest.mark.parametrize(("setting", "metric"), OF_PROBABILITIES, ids=ids(OF_PROBABILITIES))
def test_metrics_of_probabilities(setting: str, metric: Any) -> None:
    y, z, p, *_ = SETTINGS[setting]
    assert judge(metric, setting, logits=False) == MetricReport(
        judge(metric, setting, False).name, True
    )
    report = judge(metric, setting, logits=True)
    assert report.ok is False and report.problem
    if not inspect.isclass(metric):
        assert report.name == name_of(metric)
    assert report.replacement.name == report.name
    truth = value(metric, y, p)
    assert not np.allclose(value(metric, y, z), truth, rtol=1e-4)
    np.testing.assert_allclose(value(report.replacement, y, z), truth, rtol=2e-5)
    pasted = run(report.remedy)
    assert pasted.name == report.name
    np.testing.assert_allclose(value(pasted, y, z), truth, rtol=2e-5)
    assert judge(report.replacement, setting, logits=True).ok is True


@pytest.mark.parametrize(("setting", "metric"), OF_BOTH, ids=ids(OF_BOTH))
def test_metrics_of_both(setting: str, metric: Any) -> None:
    y, z, p, *_ = SETTINGS[setting]
    for logits in (False, True):
        assert judge(metric, setting, logits).ok is True
    np.testing.assert_allclose(value(metric, y, z), value(metric, y, p), rtol=1e-6)


@pytest.mark.parametrize(("setting", "metric"), OF_LOGITS, ids=ids(OF_LOGITS))
def test_metrics_of_logits(setting: str, metric: Any) -> None:
    y, z, p, *_ = SETTINGS[setting]
    assert judge(metric, setting, logits=True).ok is True
    report = judge(metric, setting, logits=False)
    assert report.ok is False and report.replacement.name == name_of(metric)
    truth = value(metric, y, z)
    assert not np.allclose(value(metric, y, p), truth, rtol=1e-4)
    for right in (report.replacement, run(report.remedy)):
        np.testing.assert_allclose(value(right, y, p), truth, rtol=2e-5)
    assert judge(report.replacement, setting, logits=False).ok is True


# Wrong for the labels or the units, on logits and on probabilities; what shows the truth on both.
OF_NEITHER = [
    ("yes", M.Accuracy(), "BinaryAccuracy"),
    ("ids", M.Accuracy(), "SparseCategoricalAccuracy"),
    ("hot", M.Accuracy(), "CategoricalAccuracy"),
    ("many", "accuracy", "BinaryAccuracy"),
    ("many", M.CategoricalAccuracy(), "BinaryAccuracy"),
    ("yes", M.CategoricalAccuracy(), "BinaryAccuracy"),
    ("yes", "sparse_categorical_accuracy", "BinaryAccuracy"),
    ("yes", M.TopKCategoricalAccuracy(k=2), "BinaryAccuracy"),
    ("hot", "binary_accuracy", "CategoricalAccuracy"),
    ("ids", M.BinaryAccuracy(), "SparseCategoricalAccuracy"),
    ("ids", M.CategoricalAccuracy(), "SparseCategoricalAccuracy"),
    ("hot", M.SparseCategoricalAccuracy(), "CategoricalAccuracy"),
    ("ids", M.TopKCategoricalAccuracy(k=2), "SparseTopKCategoricalAccuracy"),
    ("hot", M.SparseTopKCategoricalAccuracy(k=2), "TopKCategoricalAccuracy"),
    ("ids", M.CategoricalCrossentropy(), "SparseCategoricalCrossentropy"),
    ("hot", "sparse_categorical_crossentropy", "CategoricalCrossentropy"),
    ("yes", M.CategoricalCrossentropy(label_smoothing=0.1), "BinaryCrossentropy"),
    ("yes", M.SparseCategoricalCrossentropy(), "BinaryCrossentropy"),
    ("ids", M.MeanIoU(4), "MeanIoU"),
    ("hot", M.MeanIoU(4, sparse_y_pred=False), "MeanIoU"),
    ("ids", M.OneHotMeanIoU(4), "MeanIoU"),
    ("ids", M.OneHotIoU(4, [2]), "IoU"),
    ("hot", M.IoU(4, [0, 2]), "IoU"),
    ("hot", M.OneHotIoU(4, [2], sparse_y_pred=True), "OneHotIoU"),
    ("yes", M.MeanIoU(2), "BinaryIoU"),
    ("yes", M.IoU(2, [1]), "BinaryIoU"),
    ("yes", M.F1Score(), "F1Score"),
    ("many", M.FBetaScore(), "FBetaScore"),
]


@pytest.mark.parametrize(
    ("setting", "metric", "kind"), OF_NEITHER, ids=ids([row[:2] for row in OF_NEITHER])
)
def test_metrics_of_neither(setting: str, metric: Any, kind: str) -> None:
    y, z, p, *_ = SETTINGS[setting]
    values = []
    for logits, prediction in ((True, z), (False, p)):
        report = judge(metric, setting, logits)
        assert report.ok is False and kind + "(" in report.remedy
        assert report.replacement.name == name_of(metric)
        values.append(value(run(report.remedy), y, prediction))
        np.testing.assert_array_equal(value(report.replacement, y, prediction), values[-1])
        assert judge(report.replacement, setting, logits).ok is True
        try:
            assert not np.allclose(value(metric, y, prediction), values[-1], rtol=1e-4)
        except Exception as error:  # Keras refuses it, in other words on each backend
            assert not isinstance(error, AssertionError)
    np.testing.assert_allclose(*values, rtol=2e-5)


@pytest.mark.parametrize("metric", [M.AUC(), M.Recall(class_id=1), M.F1Score(), "kl_divergence"])
def test_metrics_that_need_one_hot_labels(metric: Any) -> None:
    report = judge(metric, "ids", logits=False)
    assert report == MetricReport(
        name_of(metric),
        False,
        "It compares each unit with a label of its own, but labels are ids.",
        "y = keras.utils.to_categorical(y, 4)",
    )


@pytest.mark.parametrize(
    "metric",
    [
        *("mse", "mae", M.MeanSquaredError(), M.R2Score(), M.Poisson(), M.CosineSimilarity()),
        *(M.Mean(), M.Sum(), M.MeanAbsoluteError(), M.MeanAbsolutePercentageError()),
        *(M.MeanSquaredLogarithmicError(), M.RootMeanSquaredError(), M.LogCoshError()),
        *(M.PearsonCorrelation(), M.ConcordanceCorrelation(), M.MeanMetricWrapper(M.get("mse"))),
        *(lambda y, p: 0.0, type("Own", (M.AUC,), {})(), M.MeanIoU, "mean_io_u", "no such metric"),
    ],
    ids=lambda metric: getattr(metric, "__name__", str(metric)),
)
@pytest.mark.parametrize("setting", SETTINGS)
def test_no_opinion(metric: Any, setting: str) -> None:
    for logits in (False, True):
        report = judge(metric, setting, logits)
        assert report == MetricReport(report.name)


@pytest.mark.parametrize("metric", [M.Hinge(), M.SquaredHinge(), M.CategoricalHinge()])
def test_hinges_take_scores(metric: Any) -> None:
    assert judge(metric, "yes", logits=True).ok is True
    assert judge(metric, "yes", logits=False).ok is None


def test_all_metrics_are_covered() -> None:
    tables = OF_PROBABILITIES + OF_BOTH + OF_LOGITS + [row[:2] for row in OF_NEITHER]
    covered = {type(metric).__name__ for _, metric in tables} | {"MeanMetricWrapper", "Metric"}
    for name, kind in vars(M).items():
        if inspect.isclass(kind) and name not in covered:
            assert (
                "Error" in name
                or "Hinge" in name
                or name
                in (
                    *("Mean", "Sum", "Poisson", "R2Score", "CosineSimilarity"),
                    *("PearsonCorrelation", "ConcordanceCorrelation"),
                )
            )


@pytest.mark.parametrize(("output", "ok"), [("unknown", None), ("log_probabilities", False)])
def test_other_outputs(output: str, ok: bool | None) -> None:
    expected = expectation(losses.CategoricalCrossentropy(from_logits=True), None)
    given = [M.AUC(), M.CategoricalCrossentropy(), "kl_divergence"]
    reports = judge_metrics(given, output, 4, expected)
    assert [report.ok for report in reports] == [ok] * 3
    if ok is False:
        log_p = np.log(SOFTMAX)
        for metric, report in zip(given, reports, strict=True):
            np.testing.assert_allclose(
                value(report.replacement, HOT, log_p), value(metric, HOT, SOFTMAX), rtol=2e-5
            )


def test_a_sigmoid_of_each_logit_is_no_softmax() -> None:
    report = judge(M.AUC(from_logits=True, name="auc"), "hot", logits=True)
    assert report.ok is False and "sigmoid of each logit" in report.problem
    truth = value(M.AUC(), HOT, SOFTMAX)
    np.testing.assert_allclose(value(report.replacement, HOT, Z), truth)
    for metric in (M.Precision(thresholds=0), M.BinaryIoU(threshold=0.0)):
        report = judge(metric, "hot", logits=True)
        np.testing.assert_allclose(
            value(report.replacement, HOT, Z), value(type(metric)(), HOT, SOFTMAX)
        )


def test_labels_are_told_by_the_loss() -> None:
    for loss, given, right in (
        ("sparse_categorical_crossentropy", "CategoricalAccuracy", "SparseCategoricalAccuracy"),
        ("categorical_crossentropy", "SparseCategoricalAccuracy", "CategoricalAccuracy"),
    ):
        (report,) = judge_metrics([given], "softmax", 4, expectation(loss, None))
        assert type(report.replacement).__name__ == right
    (report,) = judge_metrics([M.Accuracy()], "softmax", 4, Expectation())
    assert (report.remedy, report.replacement) == ('"accuracy"', "accuracy")
    for output, family, labels in (("logits", "binary", ""), ("softmax", "categorical", "many")):
        given = ["accuracy", M.TopKCategoricalAccuracy(k=2)][: 2 if labels else 1]
        for report in judge_metrics(given, output, 4, Expectation(family=family), labels):
            assert report.ok is None


def test_the_remedies_as_printed() -> None:
    def remedy(metric: Any, setting: str = "yes") -> str:
        return judge(metric, setting, logits=True).remedy

    assert remedy("acc") == "keras.metrics.BinaryAccuracy(threshold=0.0, name='acc')"
    assert remedy(M.AUC(name="auc")) == "keras.metrics.AUC(from_logits=True, name='auc')"
    assert remedy("precision") == "keras.metrics.Precision(thresholds=0.0, name='precision')"
    assert remedy(M.F1Score(threshold=0.5, dtype="float64")) == (
        "ls.diagnostics.metrics.OnProbabilities(keras.metrics.F1Score(threshold=0.5, "
        "dtype='float64', name='f1_score'), \"sigmoid\")"
    )


def test_asking_leaves_names_alone() -> None:
    keras.backend.clear_session()
    for metric in ("AUC", M.AUC, "precision"):
        judge(metric, "yes", logits=True)
    assert (M.AUC().name, M.Precision().name) == ("auc", "precision")


def test_mended_metrics_in_a_model(tmp_path: Any) -> None:
    """The same names, the values by the definition; also after the model was saved and loaded."""
    own = M.MeanSquaredError(name="mse")
    given = ["accuracy", M.AUC(name="auc", from_logits=True), M.F1Score(threshold=0.5), own]
    metrics = mended(given, "logits", 1, expectation(losses.BinaryCrossentropy(), None))
    assert metrics[1] is given[1] and metrics[3] is own
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True), metrics=metrics)
    p = 1 / (1 + np.exp(-Z1))
    truth = {"accuracy": np.mean((p > 0.5) == YES), "auc": value(M.AUC(), YES, p)}
    truth["f1_score"] = value(M.F1Score(threshold=0.5), YES, p)
    model.save(tmp_path / "model.keras")
    for one in (model, keras.models.load_model(tmp_path / "model.keras")):
        for _ in range(2):  # states are forgotten in between
            shown = one.evaluate(Z1, YES, batch_size=16, verbose=0, return_dict=True)
        assert set(shown) == {"loss", "accuracy", "auc", "f1_score", "mse"}
        for name, number in truth.items():
            np.testing.assert_allclose(shown[name], number, rtol=1e-4)


def test_padded_steps_are_left_out() -> None:
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0]])
    x = keras.Input((5,), dtype="int32")
    z = keras.layers.Dense(4)(keras.layers.Embedding(9, 8, mask_zero=True)(x))
    shown = []
    for output, metric in (
        (z, OnProbabilities(M.KLDivergence(), "softmax")),
        (keras.layers.Activation("softmax")(z), M.KLDivergence()),
    ):
        model = keras.Model(x, output)
        model.compile(loss="mse", metrics=[metric])
        shown.append(model.evaluate(ids, np.eye(4)[ids % 4], verbose=0, return_dict=True))
    np.testing.assert_allclose(*(one["kl_divergence"] for one in shown), rtol=1e-5)
