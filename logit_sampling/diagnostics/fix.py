"""Compile a model anew with a loss that agrees with its output."""

from typing import Any

from .losses import places
from .verdict import LogitsReport


def fixed(model: Any, report: LogitsReport) -> Any:
    """Compile `model` with the losses that `report` calls for, and leave all else as it is.

    Raises:
        ValueError: it has no loss, an output is unknown, or no change of the loss helps.
    """
    import keras

    if not getattr(model, "loss", None):
        raise ValueError("fix=True needs a compiled model: call model.compile(loss=...) first")
    parts = report.outputs or (report,)
    for part in parts:
        if part.ok is False and part.loss is None:
            raise ValueError(f"no change of the loss mends this. {part.problem} {part.remedy}")
        if part.ok is None and part.expects is not None:
            raise ValueError(f"cannot tell what the model puts out: {part.evidence}")
    if report.ok is False:
        leaves = keras.tree.flatten(model.loss)
        at = places(model.loss, [part.name for part in parts])
        if keras.tree.is_nested(model.loss):
            for index, part in zip(at, parts, strict=True):
                if index is not None:
                    leaves[index] = _agreeing(leaves[index], part)
            losses = keras.tree.pack_sequence_as(model.loss, leaves)
        else:
            losses = [_agreeing(model.loss, part) for part in parts]
            losses = losses if report.outputs else losses[0]
        settings = dict(model._compile_config.config)  # what compile was given, as it was given
        settings |= {"optimizer": model.optimizer, "loss": losses}
        # The class's own `compile` may reset more than the loss: a CausalLM forgets its sampler.
        keras.Model.compile(model, **settings)
    return model


def _agreeing(loss: Any, report: LogitsReport) -> Any:
    """The loss itself, or the one that agrees, with the settings that both have."""
    import keras

    if report.loss is None:
        return loss
    name, from_logits = report.loss
    kind = getattr(keras.losses, name)
    settings = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    if type(loss) is not kind:
        settings = {k: v for k, v in settings.items() if k in kind().get_config() and k != "name"}
    return kind.from_config(settings | {"from_logits": from_logits})
