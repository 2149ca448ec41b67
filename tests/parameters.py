"""Every numeric parameter that may be a tensor of a graph, with values in and out of its range."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import logit_sampling as ls
from logit_sampling.distribution.checks import is_number
from logit_sampling.strategies.table import TABLE, Row

NAN, INF = np.nan, np.inf


class Case(NamedTuple):
    """A transform of one parameter; the values are exact in float32."""

    make: Callable[[Any], ls.Transform]
    good: tuple[float, ...]  # the ends of the range that change nothing, or most, among them
    bad: tuple[float, ...]


CASES = {
    "Temperature.temperature": Case(ls.Temperature, (0.0, 0.75, 1.0, 2.5), (-0.5, NAN, INF)),
    "DynamicTemperature.temperature": Case(
        lambda p: ls.DynamicTemperature(p, 0.5, 2.0), (0.0, 0.25, 1.0, 2.5), (-0.5, NAN)
    ),
    "DynamicTemperature.range": Case(
        lambda p: ls.DynamicTemperature(0.75, p), (0.0, 0.5, 1.0, 2.5), (-0.5, NAN)
    ),
    "DynamicTemperature.exponent": Case(
        lambda p: ls.DynamicTemperature(1.0, 0.5, p), (0.5, 1.0, 3.0), (0.0, NAN)
    ),
    "TopK.k": Case(ls.TopK, (1, 3, 50, 2**31 - 1), (0, -3)),
    "TopP.p": Case(ls.TopP, (0.125, 0.75, 1.0), (0.0, 1.5, NAN)),
    "MinP.p": Case(ls.MinP, (0.0, 0.125, 1.0), (-0.5, 1.5, NAN)),
    "Typical.p": Case(ls.Typical, (0.125, 0.75, 1.0), (0.0, 1.5, NAN)),
    "Epsilon.epsilon": Case(ls.Epsilon, (0.0, 0.0625, 0.5), (-0.5, 1.0, NAN)),
    "Eta.epsilon": Case(ls.Eta, (0.0, 0.0625, 0.5), (-0.5, 1.0, NAN)),
    "TopA.a": Case(ls.TopA, (0.0, 0.25, 1.0), (-0.5, 1.5, NAN)),
    "TopNSigma.n": Case(ls.TopNSigma, (0.5, 1.5, 100.0), (0.0, INF, NAN)),
    "TopH.h": Case(ls.TopH, (0.25, 0.75, 1.0), (0.0, 1.5, NAN)),
    "XTC.probability": Case(lambda p: ls.XTC(p, 0.0625), (0.0, 0.5, 1.0), (-0.5, 1.5, NAN)),
    "XTC.threshold": Case(lambda p: ls.XTC(0.75, p), (0.0, 0.0625, 0.5), (-0.5, 0.75, NAN)),
    "RepetitionPenalty.penalty": Case(
        lambda p: ls.RepetitionPenalty(p, window=4), (0.5, 1.0, 1.5), (0.0, INF, NAN)
    ),
    "PresencePenalty.penalty": Case(ls.PresencePenalty, (-1.5, 0.0, 2.0), (INF, NAN)),
    "FrequencyPenalty.penalty": Case(ls.FrequencyPenalty, (-1.5, 0.0, 2.0), (INF, NAN)),
    "DRY.multiplier": Case(ls.DRY, (0.0, 0.75, 3.0), (-0.5, NAN)),
    "DRY.base": Case(lambda p: ls.DRY(0.75, base=p), (1.0, 1.5, 2.0), (0.5, NAN)),
    "DRY.allowed_length": Case(lambda p: ls.DRY(0.75, allowed_length=p), (1, 2, 5), (0, -1)),
    "NoRepeatNGram.n": Case(ls.NoRepeatNGram, (1, 2, 3, 2**31 - 1), (0, -1)),
    "SuppressTokens.steps": Case(lambda p: ls.SuppressTokens([3, 4], p), (0, 6, 9), (-1,)),
    "MinNewTokens.n": Case(lambda p: ls.MinNewTokens(p, [3, 4]), (0, 6, 9), (-1,)),
    "SpanBudget.budget": Case(lambda p: ls.SpanBudget(p, 3, 4), (0, 2, 9), (-1,)),
    "LengthDecay.start": Case(lambda p: ls.LengthDecay(p, 1.5, 3), (0, 6, 9), (-1,)),
    "LengthDecay.factor": Case(lambda p: ls.LengthDecay(2, p, 3), (0.5, 1.0, 1e30), (0.0, NAN)),
    "Watermark.gamma": Case(ls.Watermark, (0.25, 0.5), (0.0, 1.0, NAN)),
    "Watermark.delta": Case(lambda p: ls.Watermark(0.5, p), (0.0, 2.5), (-0.5, NAN)),
    "Mirostat.tau": Case(ls.Mirostat, (0.5, 3.0, 50.0), (0.0, NAN)),
    "Mirostat.eta": Case(lambda p: ls.Mirostat(2.0, p, version=1), (0.0, 0.5), (-0.5, NAN)),
    "AdaptiveP.target": Case(ls.AdaptiveP, (0.0, 0.25, 1.0), (-0.5, 1.5, NAN)),
    "AdaptiveP.decay": Case(lambda p: ls.AdaptiveP(0.25, p), (0.0, 0.5, 0.9375), (-0.5, 1.0, NAN)),
}
"""By class and field."""


def derived(row: Row, field: dataclasses.Field) -> Case:
    """A case from the examples of the table and the bounds of a field."""
    arguments, bounds = row.arguments(), field.metadata
    values = [row.arguments(n).get(field.name) for n in range(len(row.examples))]
    good = [value for value in values if value is not None]
    good += [bounds[b] for b in ("ge", "le") if math.isfinite(bounds[b])]
    step = 1 if bounds["integer"] else 0.5
    bad = [bounds[b] for b in ("gt", "lt") if math.isfinite(bounds[b])]
    bad += [bounds[b] + s for b, s in (("ge", -step), ("le", step)) if math.isfinite(bounds[b])]
    made = getattr(ls, row.name)
    make = lambda p: made(**arguments | {field.name: p})  # noqa: E731
    good = [g if bounds["integer"] else float(np.float32(g)) for g in good]
    return Case(make, tuple(good), (*bad, *(() if bounds["integer"] else (NAN,))))


DERIVED: list[str] = []
for _row in TABLE:
    if _row.name != "Guidance":  # which calls a function: see `guide`
        for _field in dataclasses.fields(getattr(ls, _row.name)):
            if is_number(_field) and not _field.metadata["static"]:
                _name = f"{_row.name}.{_field.name}"
                if _name not in CASES:
                    CASES[_name] = derived(_row, _field)
                    DERIVED.append(_name)

FEEDBACK = ("Mirostat", "AdaptiveP")
"""Those that learn from each draw: in one call all of the history is prompt."""


def tensor(case: Case, *values: float) -> np.ndarray:
    """Return a value, or one for each row, as an array of the type that the parameter takes."""
    array = np.asarray(values, np.int32 if isinstance(case.good[0], int) else np.float32)
    return array if len(values) > 1 else array[0, ...]


def per_row(case: Case, *first: float) -> np.ndarray:
    """Return a value for each of four rows: some, then those in range."""
    return tensor(case, *[*first, *case.good, *case.good][:4])


def batch(vocabulary: int = 50) -> np.ndarray:
    """Return logits of four rows."""
    return (np.random.default_rng(1).normal(size=(4, vocabulary)) * 3).astype(np.float32)


HISTORY = np.random.default_rng(2).integers(0, 6, (4, 12)).astype(np.int32)


def coin(transform: Any, seed: Any) -> dict[str, Any]:
    """The seed of a call, for a transform that tosses a coin; others refuse one."""
    return {} if transform.chance() is None else {"seed": seed}


def everything(name: str, x: Any, p: Any) -> tuple[Any, ...]:
    """Return the logits of a transform of parameter `p`; for one a row also ids drawn behind it."""
    transform = CASES[name].make(p)
    prompt_length = 12 if name.startswith(FEEDBACK) else 5
    given = {"step": 2, "history": HISTORY, "prompt_length": prompt_length}
    logits = transform(x, **coin(transform, 3), **given)
    if not len(p.shape):
        return (logits,)
    return logits, ls.Sampler(transform, ls.Temperature(1.5))(x, seed=3, **given)


# Compiling is what takes time, so that several strategies share a chain.
CHAINS = [
    ("RepetitionPenalty.penalty", "PresencePenalty.penalty", "FrequencyPenalty.penalty"),
    ("DRY.multiplier", "MinNewTokens.n", "LengthDecay.factor", "Watermark.gamma"),
    ("DRY.base", "SuppressTokens.steps", "LengthDecay.start", "Watermark.delta"),
    ("Temperature.temperature", "TopK.k", "TopP.p", "MinP.p"),
    ("DynamicTemperature.temperature", "Typical.p", "Epsilon.epsilon", "TopA.a"),
    ("DynamicTemperature.range", "TopNSigma.n", "Eta.epsilon", "XTC.threshold"),
    ("DynamicTemperature.exponent", "TopH.h", "XTC.probability", "Mirostat.tau"),
    ("DRY.allowed_length", "AdaptiveP.target"),
    # Strategies without a case of their own, one after another.
    tuple({name.split(".")[0]: name for name in DERIVED}.values()),
]


def chain(x: Any, parameters: dict[str, Any]) -> tuple[Any, Any]:
    """Draw with a chain of several strategies, each with a parameter."""
    sampler = ls.Sampler(*(CASES[name].make(p) for name, p in parameters.items()))
    feedback = "AdaptiveP.target" in parameters or "Mirostat.tau" in parameters
    past = {"history": HISTORY, "prompt_length": 12 if feedback else 5}
    return sampler(x, seed=3, step=2, **past), sampler.probabilities(x, **past)


def check_equal(name: str, found: tuple[Any, ...], p: Any, rtol: float) -> None:
    """Assert that a graph gave what eager code gives for the numbers `p`; ids are equal."""
    for own, wanted in zip(found, everything(name, batch(), p), strict=True):
        np.testing.assert_allclose(own, wanted, rtol=rtol, atol=1e-6, err_msg=f"{name} {p}")


def check_lost(found: tuple[Any, ...], lost: Any) -> None:
    """Assert that just the rows that are `lost` have no distribution."""
    for array in map(np.asarray, found):
        gone = (np.isnan(array) if array.dtype.kind == "f" else array == -1).reshape(4, -1)
        assert (gone.all(axis=1) == lost).all() and (gone.any(axis=1) == lost).all()
