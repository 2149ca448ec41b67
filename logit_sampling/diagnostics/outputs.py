"""What a model puts out: what its operations prove, else what probes of it show, else unknown."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from logit_sampling.diagnostics.facts import Facts, facts_of
from logit_sampling.diagnostics.graphs import Operation, traced
from logit_sampling.diagnostics.probe import arrays, called, candidates, with_other_weights
from logit_sampling.diagnostics.values import kind_of_values, sum_tolerance
from logit_sampling.models.keras_hub_bridge import layers_of

BEYOND = 0.05  # no rounding takes a probability so far out of [0, 1]
BY_ITSELF = {"softmax": "a softmax", "sigmoid": "a sigmoid"}


@dataclass(frozen=True)
class Seen:
    """One output of a model, as it was traced and as it was called.

    Attributes:
        facts: what its operations prove; None if it could not be traced.
        values: what came out of the probe, [batch, ..., units].
        dtype: of the values before they were converted to float32.
        layer: that the operations end in; empty if that is not known.
        stripped: whether Keras' TensorFlow backend takes the values before the activation into a
            cross-entropy, whatever from_logits says.
        path: where it lies in what the model returns.
        others: gives the values with other weights, when asked.
    """

    facts: Facts | None
    values: np.ndarray
    dtype: str = "float32"
    layer: str = ""
    stripped: bool = False
    path: tuple[Any, ...] = ()
    others: Callable[[], list[np.ndarray]] = list


@dataclass(frozen=True)
class Output:
    """What one output of a model is.

    Attributes:
        kind: "logits", "log_probabilities", "softmax", "sigmoid" or "unknown".
        strength: "proven", "probed" or "unknown".
        evidence: how that is known.
        units: how many classes lie along the axis; None if unknown.
        layer: the layer that ends in an activation; empty if none is known to.
        stripped: see `Seen`.
        axis: along which a softmax divides, from the end.
        low, high: bounds that no value passes.
        twice: the activation whose result the model gives to another one; empty if none.
        training: what the output is in training, where it is something else.
        seen: what it was told by.
    """

    kind: str = "unknown"
    strength: str = "unknown"
    evidence: str = ""
    units: int | None = None
    layer: str = ""
    stripped: bool = False
    axis: int = -1
    low: float = -np.inf
    high: float = np.inf
    twice: str = ""
    training: "Output | None" = None
    seen: Seen | None = None

    @property
    def values(self) -> np.ndarray | None:
        """What came out of the probe; None without one."""
        return None if self.seen is None else self.seen.values

    @property
    def path(self) -> tuple[Any, ...]:
        """Where it lies in what the model returns."""
        return () if self.seen is None else self.seen.path

    def along(self, axis: int) -> "Output":
        """The same output, its classes along another axis."""
        if self.seen is None or axis in (-1, self.seen.values.ndim - 1):
            return self
        training = self.training and self.training.along(axis)
        return replace(judged(self.seen, axis), training=training)


def outputs_of(model: Any, inputs: Any = None, like: Any = None) -> list[Output]:
    """Find out what each output of a model is.

    Args:
        model: a `keras.Model`, or a layer.
        inputs: what to call it on; by default random values that fit its inputs.
        like: tensors, of a graph too, that have the shapes and dtypes of its inputs.

    Returns:
        one `Output` for each tensor of what the model returns, in its order.
    """
    if inputs is not None:
        return _outputs(model, inputs)
    reason, found = "it has not been called yet", None
    for candidate in candidates(model, like):
        try:
            found = _outputs(*candidate)
        except Exception as error:  # whatever a model raises for inputs that are not meant for it
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        if not any(output.kind == "unknown" and _has_nan(output) for output in found):
            return found
    return found or [
        Output(evidence=f"the model cannot be run on inputs of its shapes: pass inputs= ({reason})")
    ]


def _has_nan(output: Output) -> bool:
    return output.values is not None and bool(np.isnan(output.values).any())


def _outputs(model: Any, inputs: Any) -> list[Output]:
    import keras

    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    if not model.built:
        model(inputs)  # makes its weights, which it could not while nothing may change
    outputs = [judged(seen) for seen in _seen(model, inputs, training=False)]
    try:
        trained = [judged(seen) for seen in _seen(model, inputs, training=True)]
    except Exception:  # a model may want more to be trained than to be called
        return outputs
    if len(trained) != len(outputs):
        return outputs
    return [
        replace(output, training=other) if _differ(output, other) else output
        for output, other in zip(outputs, trained, strict=True)
    ]


def _differ(one: Output, other: Output) -> bool:
    squashed = {x.seen.facts.squashed for x in (one, other) if x.seen and x.seen.facts}
    if len(squashed) == 1 and squashed != {""}:
        return False  # a dropout that is the last layer
    return one.kind != other.kind and "unknown" not in (one.kind, other.kind)


def _seen(model: Any, inputs: Any, training: bool) -> list[Seen]:
    import keras

    returned = called(model, inputs, training)
    values = arrays(returned)
    operations, tensors = _traced(model, inputs, training)
    layers = {layer.name for layer in layers_of(model)}
    others = _Others(model, inputs, training)
    seen = []
    for number, ((path, value), array) in enumerate(zip(returned, values, strict=True)):
        operation = operations[number] if len(operations) == len(returned) else None
        tensor = tensors[number] if len(tensors) == len(returned) else None
        facts = None if operation is None else facts_of(operation)
        seen.append(
            Seen(
                facts,
                array,
                keras.backend.standardize_dtype(value.dtype),
                _layer(model, facts, number, layers),
                tensor is not None and _stripped(tensor),
                path,
                partial(others.of, number),
            )
        )
    return seen


def _traced(model: Any, inputs: Any, training: bool) -> tuple[list[Operation], list[Any]]:
    def call(given: Any) -> list[Any]:
        return [tensor for _, tensor in called(model, given, training)]

    # Training can make anything of these; others may be a table of probabilities.
    weights = [v for v in model.trainable_variables if getattr(v, "constraint", None) is None]
    try:
        return traced(call, inputs, weights)
    except Exception:  # a model that runs eagerly alone: its values have to do
        return [], []


@dataclass
class _Others:
    """The values of a model with other weights: computed once, if anyone asks."""

    model: Any
    inputs: Any
    training: bool
    _found: list[list[np.ndarray]] = field(default_factory=list)

    @cached_property
    def _all(self) -> list[list[np.ndarray]]:
        return list(with_other_weights(self.model, self.inputs, self.training))

    def of(self, number: int) -> list[np.ndarray]:
        return [values[number] for values in self._all]


def _layer(model: Any, facts: Facts | None, number: int, layers: set[str]) -> str:
    """The layer that an output ends in, as an error message calls it."""
    name = facts.made_by.layer if facts and facts.made_by else ""
    # TensorFlow numbers a scope that it meets a second time.
    parts = [re.sub(r"_\d+$", "", p) if p not in layers else p for p in name.split("/")]
    found = next((part for part in reversed(parts) if part in layers), "")
    if not found and getattr(model, "outputs", None) and number < len(model.outputs):
        found = getattr(model.outputs[number]._keras_history.operation, "name", "")
    return f"layer {found!r}" if found else ""


def _stripped(tensor: Any) -> bool:
    # Read from Keras 3.15: the attribute is set by its own activations; the loss casts to float32
    # and the cast drops it.
    return tensor.dtype.name == "float32" and (
        hasattr(tensor, "_keras_logits") or tensor.op.type in ("Softmax", "Sigmoid")
    )


def judged(seen: Seen, axis: int = -1) -> Output:
    """Tell what an output is, its classes along `axis`."""
    rank = seen.values.ndim
    axis = axis if axis < 0 else axis - rank
    values = np.moveaxis(seen.values, axis, -1)
    facts = seen.facts or Facts()
    kind, strength, evidence, along = _told(seen, facts, values, axis)
    proven = strength == "proven" and seen.facts is not None
    activated = kind in ("softmax", "sigmoid", "log_probabilities")
    return Output(
        kind,
        strength,
        evidence,
        values.shape[-1],
        seen.layer if activated else "",
        seen.stripped,
        along,
        facts.low,
        facts.high,
        facts.twice if proven else "",
        None,
        seen,
    )


def _told(seen: Seen, facts: Facts, values: np.ndarray, axis: int) -> tuple[str, str, str, int]:
    """Kind, strength, evidence, and the axis that a softmax divides along."""
    by_values, shown = kind_of_values(values, seen.dtype)
    where = seen.layer or "the model"
    name = facts.made_by.name if facts.made_by else ""
    ends = f"{where} ends in {{}}" + (f" ({name})" if name else "")
    for sums, kind, what in (
        (facts.sums, "softmax", "a softmax" if facts.squashed == "softmax" else "a distribution"),
        (facts.log_sums, "log_probabilities", "a log-softmax"),
    ):
        normalised = [a for a, total in sums.items() if abs(total - 1) < 1e-6]
        if axis in normalised and (by_values == kind or values.shape[-1] == 1 or "NaN" in shown):
            return kind, "proven", ends.format(what), axis
        wide = [a for a in normalised if seen.values.shape[a] > 1]
        if wide and axis not in normalised:
            other = wide[0] % seen.values.ndim
            return kind, "proven", f"{ends.format(what)} along axis {other}", wide[0]
    if facts.mixed:
        return "unknown", "unknown", f"{where} joins raw scores and probabilities", axis
    if facts.relative and not facts.sums:
        return "unknown", "unknown", f"{where} gives values relative to their greatest", axis
    if facts.probable and facts.depends:
        if by_values == "softmax":
            return "softmax", "probed", f"in a probe {shown}", axis
        what = BY_ITSELF.get(facts.squashed, "what cannot leave [0, 1]")
        return "sigmoid", "proven", ends.format(what), axis
    if facts.free and by_values != "log_probabilities":
        return "logits", "proven", f"{ends.format('a score')}, which can have any size", axis
    if by_values == "logits" and not _nearly_log_probabilities(values):
        return "logits", "proven", f"in a probe {shown}", axis
    kind, shown = _by_other_weights(seen, axis, by_values, shown)
    return kind, "unknown" if kind == "unknown" else "probed", shown, axis


def _nearly_log_probabilities(values: np.ndarray) -> bool:
    """Whether a step in half precision may have made these of log-probabilities."""
    if values.shape[-1] == 1 or values.max() > BEYOND:
        return False
    return bool((abs(np.exp(values.astype(np.float64)).sum(-1) - 1) < BEYOND).all())


def _by_other_weights(seen: Seen, axis: int, kind: str, shown: str) -> tuple[str, str]:
    """Tell by what large weights make of an output."""
    many = [np.moveaxis(v, axis, -1) for v in seen.others()]
    many = [values for values in many if np.isfinite(values).all()]
    if not many:
        return "unknown", f"{shown}, which is no proof, and it has no weights to try others"
    rows, few = (
        np.concatenate([values.reshape(-1, values.shape[-1]) for values in some])
        for some in (many, many[: (len(many) + 2) // 3])
    )
    tolerance = sum_tolerance(seen.dtype)
    if rows.min() < -BEYOND or rows.max() > 1 + BEYOND:
        if all(map(_nearly_log_probabilities, many)):
            return "log_probabilities", "however large its weights, the exponentials sum to 1"
        if rows.max() <= 0:
            return (
                "unknown",
                "its values are never above 0, and their exponentials need not sum to 1",
            )
        return "logits", "with large weights its values leave [0, 1]"
    moves = np.ptp(few, axis=0).max() > 0.5
    # With the largest weights some digits are lost.
    if rows.shape[-1] > 1 and moves and (abs(few.sum(-1) - 1) < max(tolerance, 0.02)).all():
        return "softmax", "however large its weights, each row sums to 1"
    if rows.min() < BEYOND and rows.max() > 1 - BEYOND:
        return "sigmoid", "however large its weights, its values come close to 0 and 1, not beyond"
    return "unknown", f"{shown}, and large weights prove nothing"
