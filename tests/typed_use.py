"""What type checkers say of the library's use: mypy reads this file, nothing runs it.

A line that ends with `type: ignore` must be an error, or mypy complains of the comment.
"""

from typing import assert_type

import numpy as np

import logit_sampling as ls
from logit_sampling.distribution.protocol import Distribution

logits = np.zeros((2, 5), np.float32)


class Tensor:
    """An array of another library."""

    shape = (2, 5)
    dtype = "float32"

    def __getitem__(self, key: object, /) -> "Tensor":
        return self

    def __len__(self) -> int:
        return 2


def arrays_of_one_kind_go_in_and_come_out() -> None:
    sampler = ls.Sampler(ls.TopK(2))
    assert_type(sampler(logits, seed=3), np.ndarray)
    assert_type(sampler([0.1, 2.0]), np.ndarray)
    assert_type(sampler(Tensor(), seed=[3, 4]), Tensor)
    assert_type(sampler.probabilities(Tensor()), Tensor)
    assert_type(sampler.log_prob(logits, [1, 2]), np.ndarray)
    assert_type(ls.TopP(0.9)(Tensor()), Tensor)
    assert_type(ls.logits_from(probabilities=Tensor()), Tensor)
    state = sampler.init([[1, 2], [3]], 5, seed=1)
    assert_type(sampler.step(Tensor(), state), tuple[Tensor, ls.State])
    assert_type(
        sampler.step(logits, state, return_log_prob=True), tuple[np.ndarray, ls.State, np.ndarray]
    )
    assert_type(ls.check_logits(logits), ls.LogitsReport)
    sampler(logits, sed=3)  # type: ignore[call-overload]


def parameters_may_be_what_they_may_be() -> None:
    ls.Temperature([0.2, 1.0])
    ls.TopK(np.array([1, 2]))
    ls.LogitBias({1: 2.0})
    ls.SequenceBias({(1, 2): 3.0, 4: 1.0})
    ls.BadWords([[1, 2], [3]])
    ls.AllowTokens(np.array([1, 2]))
    ls.MinNewTokens(3, end_ids=2)
    ls.ForcedTokens({1: 2})
    ls.SpanBudget(3, start=1, end=(2, 3), closing=[4])
    ls.RepetitionPenalty(1.2, window=None)
    ls.TopQ(0.9)  # type: ignore[attr-defined]
    ls.Temperature("hot")  # type: ignore[arg-type]
    ls.LogitBias(3)  # type: ignore[arg-type]


def the_contract_of_strategies_is_typed(distribution: Distribution) -> None:
    assert_type(distribution.top(3).at_least(-1.0), Distribution)
    distribution.top(3, banana=1)  # type: ignore[call-arg]
    distribution.topk(3)  # type: ignore[attr-defined]


def words_are_known() -> None:
    ls.generate(lambda ids: logits, [1], overflow="slide", on_error="return")
    ls.generate(lambda ids: logits, [1], overflow="slid")  # type: ignore[arg-type]
    ls.generate(lambda ids: logits, [1], max_tokens=3)  # type: ignore[call-arg]
    ls.stream(lambda ids: logits, [1], max_new_tokens="3")  # type: ignore[arg-type]
    ls.chat(lambda ids: logits, [{"role": "user", "content": "a"}], on_text=print, seed=[3])
    ls.Engine(lambda ids: logits).submit([1], stop="a", max_rows=3)  # type: ignore[call-arg]
    ls.Sampler.from_params(order="llama.cpp", top_k=3)
    ls.Sampler.from_params(order="llamacpp")  # type: ignore[arg-type]


def results_are_typed() -> None:
    model = ls.load_model("shakespeare")
    result = ls.generate(model, "ROMEO:", sampler=ls.Sampler(ls.TopK(5)), n=2)
    assert_type(result.texts, list[str])
    assert_type(result.token_ids, list[list[int]])
    assert_type(result.finish_reasons, list[str])
    with ls.Engine(model) as engine:
        assert_type(engine.submit("ROMEO:", seed=3).result().texts, list[str])
    for event in ls.stream(model, "ROMEO:"):
        assert_type((event.row, event.text), tuple[int, str])
    assert_type(ls.compare(model, "ROMEO:"), ls.Comparison)
