"""What the steps of a training run get to see: labels, weights, and how the model is called."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from logit_sampling.diagnostics.label_statistics import NOTHING, is_text, merge, statistics
from logit_sampling.diagnostics.losses import Expectation

WEIGHTS = 2  # sum and count of the weights of samples


class Watch:
    """Looks into the steps of a model, on every backend.

    A callback of Keras never sees a batch. So the model's `compute_loss` is wrapped while it
    trains: it notes a summary of the labels and of the weights of samples. On TensorFlow that is
    part of the traced step, in variables; on JAX a callback of the compiled step; on torch it is
    done at once.

    Args:
        model: a compiled model.
        prepare: called once, with the inputs of the first step while it is traced; returns the
            shape of each output and what its loss expects, or None to look at nothing.
        failed: called when a step raises; an error that it returns is raised instead.
    """

    def __init__(self, model: Any, prepare: Callable, failed: Callable) -> None:
        self._model, self._prepare, self._failed = model, prepare, failed
        self._known: tuple[list[tuple], list[Expectation]] | None = None
        self._asked = False
        self._variables: dict[bool, Any] = {}
        self.labels: dict[bool, np.ndarray] = {}
        self.weights = np.zeros(WEIGHTS)
        self.y_shapes: list[tuple] = []
        self.text: list[bool] = []
        self.training = True
        model.make_train_function(force=True)  # a step traced before would never call what follows
        self._evaluated = model.test_function
        model.make_test_function(force=True)
        self._compute_loss = model.compute_loss
        model.train_function = self._explained(model.train_function, training=True)
        model.test_function = self._explained(model.test_function, training=False)
        model.compute_loss = self._watched_loss

    def stop(self) -> None:
        """Leave the model as it was; what was traced meanwhile is not used again."""
        if "compute_loss" in vars(self._model):
            del self._model.compute_loss
            self._model.train_function = None
            self._model.test_function = self._evaluated

    def seen(self, training: bool = True) -> np.ndarray | None:
        """The statistics of the labels so far, [outputs, numbers]; None before any."""
        if keras.backend.backend() == "jax":
            import jax

            jax.effects_barrier()
        found = [self.labels[training]] if training in self.labels else []
        if training in self._variables:
            found.append(self._variables[training][0].numpy())
        return np.maximum.reduce(found) if found else None

    def mean_weight(self) -> float:
        """The mean weight of the samples; 1 without weights."""
        if True in self._variables:
            self.weights = self._variables[True][1].numpy()
        return float(self.weights[0] / self.weights[1]) if self.weights[1] else 1.0

    def _explained(self, step: Callable, training: bool) -> Callable:
        """A step whose error is that of its labels, if they are what it fails for."""

        def explained(*arguments: Any) -> Any:
            try:
                return step(*arguments)
            except Exception as error:
                self._peek(arguments[-1], training)
                better = self._failed(training)
                self.stop()
                if better is None:
                    raise
                raise better from error
            except BaseException:  # an interruption
                self.stop()
                raise

        return explained

    def _peek(self, iterator: Any, training: bool) -> None:
        """Look at the labels of the next batch, where a step failed before it noted any."""
        seen = self.seen(training)
        if self._known is None or (seen is not None and np.isfinite(seen).any()):
            return
        try:
            data = next(iterator)
            batch = data[0] if isinstance(data, list) else data
            labels = self._statistics(keras.utils.unpack_x_y_sample_weight(batch)[1])
            found = [np.asarray(keras.ops.convert_to_numpy(v)) for v in labels]
            self._remember(np.stack(found), np.zeros(WEIGHTS), training)
        except Exception:  # there is no next batch, or it is of a kind of its own
            return

    def _watched_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
        **named: Any,
    ) -> Any:
        if not self._asked:
            self._asked = True
            self._known = self._prepare(x, y_pred)
        given: dict[str, Any] = {"x": x, "y": y, "y_pred": y_pred, "sample_weight": sample_weight}
        if self._known is not None and len(keras.tree.flatten(y)) == len(self._known[0]):
            given["y"] = self._note(y, sample_weight, training)
        return self._compute_loss(**given, training=training, **named)

    def _statistics(self, y: Any) -> list[Any]:
        shapes, expected = self._known or ([], [])
        labels = keras.tree.flatten(y)
        self.y_shapes = [tuple(getattr(label, "shape", ())) for label in labels]
        self.text = [is_text(label) for label in labels]
        return [
            keras.ops.convert_to_tensor(NOTHING)
            if label is None
            else keras.ops.convert_to_tensor(statistics(label, shape, e.axis, e.ignored))
            for label, shape, e in zip(labels, shapes, expected, strict=True)
        ]

    def _note(self, y: Any, weights: Any, training: bool) -> Any:
        found = keras.ops.stack(self._statistics(y))
        summary = _summary(weights)
        match keras.backend.backend():
            case "tensorflow":
                return self._note_in_graph(y, found, summary, training)
            case "jax":
                import jax

                def remember(labels: Any, weights: Any) -> None:
                    self._remember(np.asarray(labels), np.asarray(weights), training)

                jax.debug.callback(remember, found, summary)
            case _:
                arrays = [keras.ops.convert_to_numpy(part) for part in (found, summary)]
                self._remember(arrays[0], arrays[1], training)
        return y

    def _remember(self, labels: np.ndarray, weights: np.ndarray, training: bool) -> None:
        before = self.labels.get(training)
        self.labels[training] = labels if before is None else np.maximum(before, labels)
        if training:
            self.weights = self.weights + weights

    def _note_in_graph(self, y: Any, found: Any, summary: Any, training: bool) -> Any:
        import tensorflow as tf

        if training not in self._variables:
            with tf.init_scope():  # out of the graph that is being traced
                self._variables[training] = tuple(
                    tf.Variable(
                        start,
                        trainable=False,
                        synchronization=tf.VariableSynchronization.ON_READ,
                        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                    )
                    for start in (
                        np.full(found.shape, -np.inf, np.float32),
                        np.zeros(WEIGHTS, np.float32),
                    )
                )
        labels, weights = self._variables[training]
        noted = [labels.assign(merge(labels, found)), weights.assign_add(summary)]
        with tf.control_dependencies(noted):
            return keras.tree.map_structure(
                lambda label: None if label is None else tf.identity(label), y
            )


def _summary(weights: Any) -> Any:
    """Sum and count, float32 [2], of the weights of one output's samples."""
    ops = keras.ops
    leaves = [w for w in keras.tree.flatten(weights) if w is not None]
    if len(leaves) != 1:
        return ops.zeros(WEIGHTS, "float32")
    weight = ops.cast(leaves[0], "float32")
    return ops.stack([ops.sum(weight), ops.cast(ops.size(weight), "float32")])
