"""What a SavedModel of TensorFlow puts out, read from its operations; it is not run."""

from dataclasses import replace
from typing import Any

import numpy as np

from logit_sampling.diagnostics.check import _of_all
from logit_sampling.diagnostics.facts import facts_of
from logit_sampling.diagnostics.losses import Expectation
from logit_sampling.diagnostics.outputs import Seen, judged
from logit_sampling.diagnostics.report import LogitsReport
from logit_sampling.diagnostics.verdict import judge

UNKNOWN_SIZE = 2


def check_saved_model(folder: str) -> LogitsReport:
    """The report on each output of what a SavedModel serves.

    Raises:
        ValueError: it serves nothing.
    """
    import tensorflow as tf

    from logit_sampling.diagnostics.graphs.tensorflow import read

    signatures: Any = tf.saved_model.load(folder).signatures
    if not signatures:
        raise ValueError(
            f"{folder} is a SavedModel without signatures: it says of no output what it is"
        )
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures))
    outputs: dict[str, Any] = signatures[name].structured_outputs
    graph = signatures[name].graph
    tensors = dict(zip(sorted(outputs), graph.outputs, strict=True))
    reports = []
    for key, tensor in tensors.items():
        shape = [UNKNOWN_SIZE if n is None else n for n in tensor.shape.as_list()]
        values = np.full(shape if len(shape) > 1 else [*shape, 1], np.nan, np.float32)
        seen = Seen(facts_of(read(tensor)), values, tensor.dtype.name)
        reports.append(judge(judged(seen), Expectation(other=True), key))
    note = "a SavedModel does not say with which loss it was trained"
    reports = [replace(report, notes=(*report.notes, note)) for report in reports]
    return reports[0] if len(reports) == 1 else _of_all(reports, [Expectation()] * len(reports))
