"""Calls of torch that are recorded, and made again: `KERAS_BACKEND=torch pytest` runs these."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.models.keras_hub import LanguageModel
from tests.backends import BACKEND
from tests.models.test_caches import GROUPED, IN_PLACE, Texts, built, exercise

if BACKEND != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

import torch

from logit_sampling.models.backends import torch as on_torch
from logit_sampling.models.backends.torch_calls import UnrecordedError, recorded

WEIGHTS = torch.arange(4.0)


def views(x: Any, y: Any) -> Any:
    first, second = torch.split(x, 2)
    return None, [torch.cat([first.T, second.T], dim=-1) * WEIGHTS, y]


def writes(x: Any, y: Any) -> Any:
    x[1:3, ..., None] = y[1:3, ..., None]
    x += 1.0
    x[0].mul_(y[0])
    torch.nn.functional.relu(x[3], inplace=True)
    made = torch.empty_like(y)
    torch.add(x, y, out=made)
    return made.sum(-1), x


def several(x: Any, y: Any) -> Any:
    values, ids = torch.topk(x, k=2, dim=-1)
    unlikely = x.masked_fill(torch.isin(torch.arange(4), ids[0]), -float("inf"))
    return values, ids, unlikely, torch.meshgrid(y[0], y[1], indexing="ij")[1]


def changed_in_between(x: Any, y: Any) -> Any:
    before = x.reshape(4, 4) + y
    x.zero_()
    return before, x.reshape(4, 4) + y


def numbers(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=(4, 4)), dtype=torch.float32) for _ in range(2)]


def same(found: Any, expected: Any) -> None:
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        assert one is other is None or torch.equal(one, other)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("function", [views, writes, several, changed_in_between])
def test_the_same_is_done_with_other_numbers(function: Callable[..., Any], inference: bool) -> None:
    with torch.inference_mode(inference):
        given, alike = numbers(0), numbers(0)
        result, program = recorded(function, given)
        same((result, given), (function(*alike), alike))
        for seed in (1, 2):
            given, alike = numbers(seed), numbers(seed)
            same((program(*given), given), (function(*alike), alike))
            WEIGHTS.mul_(-2.0)  # those that are no arguments are read when it runs


def test_what_nobody_needs_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    for name in ("sin", "cos"):
        real = getattr(torch, name)
        noted = lambda x, name=name, real=real: made.append(name) or real(x)  # noqa: E731
        monkeypatch.setattr(torch, name, torch.overrides.wrap_torch_function(lambda x: (x,))(noted))

    def function(x: Any) -> Any:
        torch.sin(x)
        return torch.cos(x.to(torch.float32))

    _, program = recorded(function, [torch.ones(2)])
    assert made == ["sin", "cos"]
    program(torch.zeros(2))
    assert made == ["sin", "cos", "cos"]


@pytest.mark.parametrize(
    "reading",
    [
        *(int, float, bool, str, np.asarray, torch.Tensor.item, torch.Tensor.tolist),
        *(lambda x: range(3)[x.long()], lambda x: 1.0 in x, lambda x: torch.equal(x, x)),
    ],
)
def test_a_function_that_reads_numbers_is_called_as_it_is(reading: Callable[..., Any]) -> None:
    def function(x: Any) -> Any:
        reading(x)
        return x if x > 1.5 else -x

    with pytest.raises(UnrecordedError):
        recorded(function, [torch.tensor(1.0)])
    called = on_torch.compiled(function, None, [keras.KerasTensor(())], kept=0)
    assert [float(called(np.float32(x))) for x in (1.0, 2.0)] == [-1.0, 2.0]
    assert called.traces == 0


def test_variables_are_cast_for_their_layer() -> None:
    class Own(keras.layers.Layer):
        def build(self, _: Any) -> None:
            self.kernel = self.add_weight(shape=(4, 4))

        def call(self, x: Any) -> Any:
            return torch.matmul(x, self.kernel)  # no tensor of torch's

    layer = Own(dtype="mixed_bfloat16")
    x, other = numbers(0)
    layer(x)
    result, program = recorded(layer, [x])
    assert result.dtype == torch.bfloat16
    layer.kernel.assign(other)
    with torch.no_grad():
        assert torch.equal(program(x), layer(x)) and not torch.equal(program(x), result)


def counted(model: LanguageModel) -> list[Any]:
    """Return a list that grows when the step of a model is called, and not what was recorded."""
    called: list[Any] = []
    records: Any = model._stepper().compiled  # type: ignore[union-attr]
    function = records._function
    records._function = lambda *arguments: called.append(1) or function(*arguments)
    return called


def test_nothing_is_recorded_anew_within_a_size() -> None:
    model = LanguageModel(built("Llama", GROUPED))
    called = counted(model)
    chain = ls.Sampler(ls.RepetitionPenalty(1.2), ls.TopK(9))
    options: dict[str, Any] = {"sampler": chain, "max_new_tokens": 90, "stop_at_end": False}
    ls.generate(model, [[1, 2, 3], [4, 5, 6]], seed=1, **options)
    assert len(called) == model.traces == 2  # the prompts, and a step with any number of columns
    ls.generate(model, [[7, 8, 9], [3, 2, 1]], seed=2, **options | {"max_new_tokens": 150})
    ls.generate(model, [[7, 8, 9], [3, 2, 1]], sampler=ls.Greedy(), max_new_tokens=9)
    assert len(called) == model.traces == 2
    ls.generate(model, [[7, 8, 9, 1]] * 3, seed=2, **options)
    assert len(called) == model.traces == 4


def test_new_weights_count() -> None:
    causal_lm = built("GPT2", IN_PLACE["GPT2"])
    model = LanguageModel(causal_lm)
    exercise(causal_lm, model)
    traces, rng = model.traces, np.random.default_rng(5)
    for variable in causal_lm.backbone.trainable_variables:
        variable.assign(rng.normal(0.1, 0.3, variable.shape))
    exercise(causal_lm, model)
    assert model.traces == traces


def test_in_inference_mode() -> None:
    causal_lm = built("GPT2", IN_PLACE["GPT2"])
    model = LanguageModel(causal_lm)
    with torch.inference_mode():
        exercise(causal_lm, model)
    assert model.traces
    exercise(causal_lm, model)


def test_few_records_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_torch, "_MOST", 3)
    causal_lm = built("GPT2", IN_PLACE["GPT2"])
    model = LanguageModel(causal_lm)
    for length in (1, 2, 3, 4, 5, 4, 2):
        texts = Texts(causal_lm, [list(range(length))])
        texts.check(model.prefill(texts.rows)[0], atol=5e-5)
    records: Any = model._stepper().compiled  # type: ignore[union-attr]
    assert len(records._programs) == 3 and model.traces == 6
