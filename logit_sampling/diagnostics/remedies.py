"""The lines of code that mend a model: complete, with what the user chose, to be pasted."""

import inspect
import sys
from typing import Any

from logit_sampling.diagnostics.report import LogitsReport


def lines_for(model: Any, reports: list[LogitsReport], number: int) -> tuple[str, ...]:
    """Return the lines that mend one output of a model; either is enough, the best comes first."""
    report = reports[number]
    found = []
    loss = None if report.loss is None else with_losses(model, reports, only=number)
    if loss is not None:
        found.append(compile_line(model, loss))
    if report.activation is not None:
        found.append(activation_line(model, number, report.activation, report))
    if report.remedy and not found:
        found.append(report.remedy)
    elif report.remedy and loss is None:
        found.append(f"# {report.remedy}")
    return tuple(found)


def with_losses(model: Any, reports: list[LogitsReport], only: int | None = None) -> Any:
    """Return the losses of a model with those that do not agree replaced by those that do."""
    import keras

    from logit_sampling.diagnostics.losses import places

    mends = [r if only in (None, n) else None for n, r in enumerate(reports)]
    if not keras.tree.is_nested(model.loss):
        losses = [agreeing(model.loss, report) for report in mends]
        return losses if len(losses) > 1 else losses[0]
    leaves = keras.tree.flatten(model.loss)
    at = places(model.loss, [report.name for report in reports])
    for index, report in zip(at, mends, strict=True):
        if index is not None:
            leaves[index] = agreeing(leaves[index], report)
    return keras.tree.pack_sequence_as(model.loss, leaves)


def agreeing(loss: Any, report: LogitsReport | None) -> Any:
    """The loss itself, or the one that agrees, with the settings that both have."""
    import keras

    if report is None or report.loss is None:
        return loss
    name, from_logits = report.loss
    kind = getattr(keras.losses, name)
    settings = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    if type(loss) is not kind:
        settings = {k: v for k, v in settings.items() if k in kind().get_config() and k != "name"}
    return kind.from_config(settings | {"from_logits": from_logits})


def compile_line(model: Any, loss: Any, **changed: Any) -> str:
    """Return `model.compile(...)` with this loss, and all else as it was."""
    config = getattr(model, "_compile_config", None)
    config = dict(config.config) if config is not None else {}
    settings = {"optimizer": Raw("model.optimizer") if config else "adam", "loss": loss}
    for key, default in (
        ("loss_weights", None), ("metrics", None), ("weighted_metrics", None),
        ("run_eagerly", False), ("steps_per_execution", 1),
    ):  # fmt: skip
        value = changed.get(key, config.get(key, default))
        if value not in (None, default):
            settings[key] = value
    if config and "sampler" in inspect.signature(type(model).compile).parameters:
        settings["sampler"] = Raw("model.sampler")  # a CausalLM forgets it
    return f"model.compile({', '.join(f'{key}={code(value)}' for key, value in settings.items())})"


class Raw(str):
    """Code as it stands."""


def code(value: Any) -> str:
    """Return the expression that makes a loss, a metric or a collection of them."""
    import keras

    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {code(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(code, value)) + "]"
    if isinstance(value, keras.metrics.Metric | keras.losses.Loss):
        return f"{_public(type(value))}({_arguments(value)})"
    if callable(value) and hasattr(value, "__name__"):
        return _public(value)
    return type(value).__name__ if callable(value) else repr(value)


def _public(thing: Any) -> str:
    """Return how code names a class or function: ours and those of Keras as pages import them."""
    import keras

    import logit_sampling as ls
    from logit_sampling.diagnostics import metrics

    name = thing.__name__
    hub = getattr(sys.modules.get("keras_hub"), "metrics", None)
    for place, module in (
        ("keras.losses", keras.losses), ("keras.metrics", keras.metrics),
        ("keras_hub.metrics", hub), ("ls", ls), ("ls.diagnostics.metrics", metrics),
    ):  # fmt: skip
        if getattr(module, name, None) is thing:
            return f"{place}.{name}"
    return name


def _arguments(value: Any) -> str:
    """The settings of a loss or a metric that are not those that it has by itself."""
    import keras

    kind = type(value)
    parameters = inspect.signature(kind.__init__).parameters
    config = value.get_config()
    plain: dict[str, Any] = {}
    try:
        plain = kind(
            **{
                key: config[key]
                for key, parameter in parameters.items()
                if parameter.default is inspect.Parameter.empty and key in config
            }
        ).get_config()
    except Exception:  # a class that cannot be made so: all of its settings are written
        plain = {}
    own = {
        key: config[key]
        for key in parameters
        if key in config and key not in ("dtype", "self")
        and (parameters[key].default is inspect.Parameter.empty or config[key] != plain.get(key))
    }  # fmt: skip
    if "from_logits" in parameters and "from_logits" in config:
        own = {"from_logits": config["from_logits"], **own}
    parts = {key: getattr(value, key, None) for key in own}  # a metric may hold another
    own |= {key: part for key, part in parts.items() if isinstance(part, keras.metrics.Metric)}
    return ", ".join(f"{key}={code(setting)}" for key, setting in own.items())


def activation_line(model: Any, number: int, activation: str, report: LogitsReport) -> str:
    """Return the line that gives the last layer of an output another activation."""
    import keras

    wanted = f'"{activation}"' if activation != "linear" else "None"
    layer = _last_layer(model, number)
    if layer is None:
        return f"# in the last layer: activation={wanted}"
    own = getattr(layer, "activation", None)
    found = f"model.get_layer({layer.name!r})"
    plain = own in (None, keras.activations.linear)
    if callable(own) and (
        activation == "linear"
        or plain
        or report.output in ("softmax", "sigmoid")
        or report.output == "log_probabilities"
        or own is keras.activations.tanh
    ):
        new = f"{found}.activation = keras.activations.{activation}"
        return f"{new}; model.make_train_function(force=True)"
    if report.output == "logits" or not getattr(model, "outputs", None):
        return f"# after {layer.name!r}: keras.layers.Activation({wanted})"
    if not isinstance(layer, keras.layers.Softmax | keras.layers.Activation):
        return f"# take the {report.output} off the model"
    if len(model.outputs) > 1:
        return f"# leave out the layer {layer.name!r}"
    rest = f"keras.Model(model.inputs, {found}.input)"
    if activation != "linear":
        rest = f"keras.Model(model.inputs, keras.layers.Activation({wanted})({found}.input))"
    again = compile_line(model, model.loss) if getattr(model, "loss", None) is not None else ""
    return f"model, old = {rest}, model; {again.replace('=model.', '=old.')}".rstrip("; ")


def _last_layer(model: Any, number: int) -> Any:
    """The layer that makes an output, if the model says so."""
    outputs = getattr(model, "outputs", None)
    if not outputs or number >= len(outputs):
        return None
    layer = outputs[number]._keras_history.operation
    return layer if layer in model.layers else None
