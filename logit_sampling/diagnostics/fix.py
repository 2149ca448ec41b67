"""Compile a model anew with losses and metrics that agree with its outputs."""

from typing import Any

from logit_sampling.diagnostics.remedies import with_losses
from logit_sampling.diagnostics.report import LogitsReport


def fixed(model: Any, report: LogitsReport, metrics: Any = None) -> Any:
    """Compile `model` with the losses that `report` calls for, and leave all else as it is.

    Args:
        metrics: the metrics that agree, where those of the model do not; else None.

    Raises:
        ValueError: it has no loss, an output is unknown, or no change of the loss helps.
    """
    import keras

    if not getattr(model, "loss", None):
        raise ValueError("fix=True needs a compiled model: call model.compile(loss=...) first")
    parts = report.outputs or (report,)
    for part in parts:
        if part.ok is False and part.loss is None:
            raise ValueError(
                f"no change of the loss mends this. {part.problem} Instead: {part.remedy}"
            )
        if part.ok is None and part.expects is not None:
            raise ValueError(f"cannot tell what the model puts out: {part.evidence}")
    if any(part.ok is False for part in parts) or metrics is not None:
        settings = dict(model._compile_config.config)  # what compile was given, as it was given
        losses = with_losses(model, list(parts))
        settings |= {"optimizer": model.optimizer, "loss": losses}
        if metrics is not None:
            settings["metrics"] = metrics
        # The class's own `compile` may reset more than the loss: a CausalLM forgets its sampler.
        keras.Model.compile(model, **settings)
    return model
