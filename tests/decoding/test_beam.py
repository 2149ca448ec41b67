"""Beam search against all texts there are, and against a plain reference in float64."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.models import function

Text = tuple[tuple[int, ...], float, str]


@dataclass
class Table:
    """A model whose logits depend on the last two tokens."""

    logits: np.ndarray

    @classmethod
    def of(cls, seed: int, vocabulary: int, spread: float = 1.5) -> "Table":
        rng = np.random.default_rng(seed)
        return cls(rng.normal(0, spread, (vocabulary,) * 3).astype(np.float32))

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        return self.logits[np.pad(ids, ((0, 0), (1, 0)))[:, :-1], ids]

    def log_probs(self, text: list[int], sampler: ls.Sampler, prompt: int) -> np.ndarray:
        """Of the next token, float64 [vocab]."""
        row = self(np.array([text]))[0, -1].astype(np.float64)
        with np.errstate(divide="ignore"):
            return np.log(
                np.asarray(sampler.probabilities(row, history=text, prompt_length=prompt), float)
            )


def all_texts(
    table: Table, prompt: list[int], length: int, ends: set[int], power: float, sampler: ls.Sampler
) -> list[Text]:
    """Every text that ends, the best first."""
    found, growing = [], [((), 0.0)]
    for size in range(1, length + 1):
        longer = []
        for ids, total in growing:
            row = table.log_probs([*prompt, *ids], sampler, len(prompt))
            for token in np.flatnonzero(row > -np.inf).tolist():
                text = ((*ids, token), total + row[token])
                if token in ends or size == length:
                    reason = "end_token" if token in ends else "length"
                    found.append((text[0], text[1] / size**power, reason))
                else:
                    longer.append(text)
        growing = longer
    return sorted(found, key=lambda text: -text[1])


def reference(
    table: Table,
    prompt: list[int],
    length: int,
    ends: set[int],
    search: ls.BeamSearch,
    sampler: ls.Sampler,
) -> list[Text]:
    """Beam search with nothing left out: all candidates in one sorted list, group by group."""
    width, power = search.num_beams // search.num_groups, search.length_penalty
    live = [[((), 0.0)] for _ in range(search.num_groups)]
    ended: list[list[Text]] = [[] for _ in range(search.num_groups)]
    for size in range(1, length + 1):
        taken: list[int] = []
        for group in range(search.num_groups):
            candidates = []
            for beam, (ids, total) in enumerate(live[group]):
                row = table.log_probs([*prompt, *ids], sampler, len(prompt))
                for token, own in enumerate(row.tolist()):
                    if own > -np.inf:
                        lost = search.diversity_penalty * taken.count(token)
                        candidates.append((lost - total - own, beam, token, total + own))
            candidates.sort()
            longer, chosen = [], []
            for rank, (_, beam, token, total) in enumerate(candidates):
                text = (*live[group][beam][0], token)
                if len(longer) == width:
                    break
                if token in ends:
                    if rank < width:
                        ended[group].append((text, total / size**power, "end_token"))
                        chosen.append(token)
                else:
                    longer.append((text, total))
                    chosen.append(token)
            taken += chosen
            live[group] = longer
            if size == length:
                ended[group] += [(ids, total / size**power, "length") for ids, total in longer]
            ended[group] = sorted(ended[group], key=lambda text: -text[1])[:width]
            if len(ended[group]) == width:
                best = length if power > 0 else size + 1
                bound = max((total / best**power for _, total in longer), default=-np.inf)
                if search.early_stopping or width == 1 or bound <= ended[group][-1][1]:
                    live[group] = []
    return sorted((text for own in ended for text in own), key=lambda text: -text[1])


def found(result: Any) -> list[Text]:
    rows = zip(result.token_ids, result.scores, result.finish_reasons, strict=True)
    return [(tuple(ids), score, reason) for ids, score, reason in rows]


def assert_same(ours: list[Text], theirs: list[Text]) -> None:
    assert [text[::2] for text in ours] == [text[::2] for text in theirs[: len(ours)]]
    np.testing.assert_allclose(
        [text[1] for text in ours], [text[1] for text in theirs[: len(ours)]], atol=1e-5
    )


CHAINS = [
    ls.Sampler(),
    ls.Sampler(ls.FrequencyPenalty(0.8), ls.Temperature(0.7)),
    ls.Sampler(ls.RepetitionPenalty(1.4), ls.TopK(2)),
]


@pytest.mark.parametrize("sampler", CHAINS, ids=repr)
@pytest.mark.parametrize("power", [0.0, 1.0, 2.5, -0.7])
@pytest.mark.parametrize("ends", [set(), {2}, {0, 2}], ids=len)
def test_enough_beams_find_the_best_of_all_texts(
    ends: set[int], power: float, sampler: ls.Sampler
) -> None:
    table, prompts, n = Table.of(1, 3), [[0], [2, 1]], 4
    result = ls.generate(
        table,
        prompts,
        sampler=sampler,
        n=n,
        max_new_tokens=4,
        stop_at_end=sorted(ends),
        search=ls.BeamSearch(num_beams=81, length_penalty=power),
    )
    for i, prompt in enumerate(prompts):
        exact = all_texts(table, prompt, 4, ends, power, sampler)
        assert_same(found(result)[i * n : i * n + n], exact)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("beams, groups, penalty", [(3, 1, 0), (4, 2, 0.7), (6, 3, 0.3), (3, 3, 2)])
def test_few_beams_find_what_the_reference_finds(
    beams: int, groups: int, penalty: float, early: bool
) -> None:
    for seed in range(6):
        table, sampler = Table.of(seed, 6, 1.0), CHAINS[seed % 2]
        search = ls.BeamSearch(
            num_beams=beams,
            length_penalty=[1.0, 0.0, 2.0][seed % 3],
            num_groups=groups,
            diversity_penalty=penalty,
            early_stopping=early,
        )
        ends: set[int] = [{4}, {1, 5}, set()][seed % 3]
        result = ls.generate(
            table,
            [[seed, 2], [1]],
            sampler=sampler,
            n=beams,
            max_new_tokens=7,
            stop_at_end=sorted(ends),
            search=search,
        )
        for i, prompt in enumerate([[seed, 2], [1]]):
            exact = reference(table, prompt, 7, ends, search, sampler)
            assert_same(found(result)[i * beams : (i + 1) * beams], exact)


def test_scores_are_the_sums_of_the_sampler_and_log_probs_those_of_the_model() -> None:
    table, sampler = Table.of(3, 5), ls.Sampler(ls.Temperature(2.0), ls.TopP(0.9))
    result = ls.generate(
        table,
        [[1]],
        sampler=sampler,
        n=3,
        max_new_tokens=6,
        search=ls.BeamSearch(3, length_penalty=0.5),
        top_log_probs=2,
    )
    assert result.scores == sorted(result.scores or [], reverse=True)
    assert result.top_log_probs is not None
    for row, ids in enumerate(result.token_ids):
        exact = [table.log_probs([1, *ids[:i]], ls.Sampler(), 1) for i in range(6)]
        np.testing.assert_allclose(
            result.log_probs[row], [own[i] for own, i in zip(exact, ids, strict=True)], atol=1e-6
        )
        chain = [table.log_probs([1, *ids[:i]], sampler, 1)[ids[i]] for i in range(6)]
        np.testing.assert_allclose(result.sampler_log_probs[row], chain, atol=1e-6)
        assert result.scores[row] == pytest.approx(sum(chain) / 6**0.5, abs=1e-6)
        likeliest = [sorted(range(5), key=lambda i: -own[i])[:2] for own in exact]
        assert [[i for i, _ in place] for place in result.top_log_probs[row]] == likeliest


def by_rows(*rows: list[float]) -> Any:
    """A model whose probabilities after token i are row i."""
    with np.errstate(divide="ignore"):
        table = np.log(np.array(rows, np.float32))
    return lambda ids: table[ids]


def test_ties_go_to_the_earlier_beam_and_then_to_the_lower_id() -> None:
    flat = by_rows(*[[0.25] * 4] * 4)
    result = ls.generate(flat, [[3]], n=3, max_new_tokens=3, search=ls.BeamSearch(3))
    assert result.token_ids == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]


def test_a_greedy_start_is_left_for_a_likelier_text() -> None:
    model = by_rows([0, 0.6, 0.4], [0.5, 0.25, 0.25], [0.0, 0.1, 0.9])
    search = ls.BeamSearch(num_beams=2, length_penalty=0)
    result = ls.generate(model, [[0]], n=2, max_new_tokens=2, search=search)
    assert result.token_ids == [[2, 2], [1, 0]]
    np.testing.assert_allclose(np.exp(result.scores or 0), [0.36, 0.3], rtol=1e-6)
    greedy = ls.generate(model, [[0]], max_new_tokens=2, search=ls.BeamSearch(num_beams=1))
    assert greedy.token_ids == [[1, 0]]


# Token 0 ends a text. After 1 it is likely, after 2 the text goes on at a probability of 0.9.
LONG = by_rows([1, 0, 0], [0.5, 0.1, 0.4], [0.05, 0.05, 0.9])


def test_a_length_penalty_favours_longer_texts() -> None:
    def best(power: float) -> list[int]:
        search = ls.BeamSearch(num_beams=2, length_penalty=power)
        result = ls.generate(LONG, [[1]], max_new_tokens=3, stop_at_end=[0], search=search)
        return result.token_ids[0]

    # ln .5 = -.69 against ln .4 + 2 ln .9 = -1.13: a third of it is more.
    assert best(0.0) == [0]
    assert best(1.0) == [2, 2, 2]


def test_stopping_early_misses_what_would_become_better() -> None:
    """ln .5 = -.69 ends first, then ln .12 / 2; ln .4 + 5 ln .7 is a sixth of -2.7 in the end."""
    options: dict[str, Any] = {"max_new_tokens": 6, "stop_at_end": [0], "n": 2}
    model = by_rows([1, 0, 0], [0.5, 0.1, 0.4], [0.3, 0, 0.7])
    early = ls.BeamSearch(num_beams=2, early_stopping=True)
    late = ls.BeamSearch(num_beams=2, early_stopping=False)
    assert ls.generate(model, [[1]], search=early, **options).token_ids == [[0], [2, 0]]
    assert ls.generate(model, [[1]], search=late, **options).token_ids == [
        [2, 2, 2, 2, 2, 2],
        [2, 2, 2, 2, 2, 0],
    ]


def test_a_search_ends_when_nothing_can_become_better() -> None:
    calls = []

    def model(ids: np.ndarray) -> Any:
        calls.append(ids.shape)
        return LONG(ids)

    search = ls.BeamSearch(num_beams=1, length_penalty=0)
    ls.generate(model, [[1]], max_new_tokens=50, stop_at_end=[0], search=search)
    assert calls == [(1, 1)]
    calls.clear()
    search = ls.BeamSearch(num_beams=2, length_penalty=0)
    # After 0 (.5) the second text that ends is 2 2 ... 0; at a total below both none goes on.
    ls.generate(model, [[1]], max_new_tokens=50, stop_at_end=[0], search=search)
    assert 1 < len(calls) < 50


def test_all_beams_of_all_prompts_are_read_at_once_and_stay_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, selections = [], []
    select = function.Texts.select

    def counted(self: Any, rows: Any) -> Any:
        selections.append(list(rows))
        return select(self, rows)

    monkeypatch.setattr(function.Texts, "select", counted)
    table = by_rows(*[[0.6, 0.4, 0, 0]] * 4)  # the first two beams stay the best

    def model(ids: np.ndarray) -> Any:
        calls.append(ids.shape)
        return table(ids)

    ls.generate(model, [[0], [1]], max_new_tokens=4, search=ls.BeamSearch(2))
    assert calls == [(2, 1), (4, 2), (4, 3), (4, 4)]
    # 0 and 1 after each prompt; then 00 before 01 and 10, which come of the same beam.
    assert selections == [[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 2, 2]]


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_a_batch_gives_each_prompt_what_it_gets_alone(
    name: str, request: pytest.FixtureRequest
) -> None:
    """With a cache, prompts of different lengths, and texts that end at different steps."""
    model = request.getfixturevalue(name)
    prompts = [[7], [3, 1, 4, 1, 5, 9, 2, 6], [20, 21], list(range(39))]
    options: dict[str, Any] = {
        "n": 3,
        "max_new_tokens": 9,
        "stop_at_end": [5, 9, 17, 30, 33],
        "search": ls.BeamSearch(num_beams=4, num_groups=2, diversity_penalty=0.5),
    }
    batch = ls.generate(model, prompts, **options)

    def uncached(ids: np.ndarray) -> Any:
        return model({"token_ids": ids, "padding_mask": np.ones_like(ids)})

    for i, prompt in enumerate(prompts):
        for runner in (model, uncached)[: 2 if (name, i) == ("tiny_llama", 1) else 1]:
            alone = ls.generate(runner, [prompt], **options)
            assert alone.token_ids == batch.token_ids[3 * i : 3 * i + 3]
            np.testing.assert_allclose(alone.scores, (batch.scores or [])[3 * i : 3 * i + 3], 1e-4)


def test_one_beam_is_greedy(tiny_llama: Any) -> None:
    prompts = [[7], [3, 1, 4], [20, 21], [30]]
    options: dict[str, Any] = {"max_new_tokens": 12, "stop_at_end": [0, 17, 34]}
    greedy = ls.generate(tiny_llama, prompts, sampler=ls.Greedy(), **options)
    assert {"end_token", "length"} == set(greedy.finish_reasons)
    for power in (0.0, 1.0, 3.0):
        search = ls.BeamSearch(num_beams=1, length_penalty=power)
        ours = ls.generate(tiny_llama, prompts, search=search, **options)
        assert ours.token_ids == greedy.token_ids
        assert ours.finish_reasons == greedy.finish_reasons
        np.testing.assert_allclose(
            np.concatenate(ours.log_probs), np.concatenate(greedy.log_probs), atol=2e-5
        )


def test_groups_choose_in_turn_by_hand() -> None:
    """ln .5, ln .3, ln .2; the second group sees ln .5 - 1, so that .3 is its best."""
    model = by_rows(*[[0.5, 0.3, 0.2]] * 3)

    def texts(penalty: float, beams: int = 2, groups: int = 2) -> list[list[int]]:
        search = ls.BeamSearch(
            beams, length_penalty=0, num_groups=groups, diversity_penalty=penalty
        )
        result = ls.generate(model, [[0]], n=beams, max_new_tokens=2, search=search)
        for ids, score in zip(result.token_ids, result.scores or [], strict=True):
            assert score == pytest.approx(sum(np.log([0.5, 0.3, 0.2][i]) for i in ids))
        return result.token_ids

    assert texts(1.0) == [[0, 0], [1, 1]]
    assert texts(0.5) == [[0, 0], [0, 0]]  # .5 * exp(-.5) = .303 is still more than .3
    assert texts(0.0, 6, 3) == [[0, 0]] * 3 + [[0, 1]] * 3
    # Third group: 0 and 1 were each taken once: .5 / e = .184 and .11 are less than .2.
    assert texts(1.0, 3, 3) == [[0, 0], [1, 1], [2, 2]]


def test_no_groups_and_no_penalty_are_a_plain_search() -> None:
    table = Table.of(8, 6, 1.0)
    options: dict[str, Any] = {"n": 4, "max_new_tokens": 6, "stop_at_end": [1]}
    plain = ls.generate(table, [[0], [3]], search=ls.BeamSearch(4), **options)
    for search in (
        ls.BeamSearch(4, num_groups=1, diversity_penalty=5.0),
        ls.BeamSearch(8, num_groups=2),
    ):
        options["n"] = search.num_beams
        same = ls.generate(table, [[0], [3]], search=search, **options)
        doubled = [text for text in found(plain) for _ in range(search.num_groups)]
        assert found(same) == doubled


def test_a_beam_that_nothing_can_follow_is_left_out() -> None:
    """After 1 only 0 could follow, which must not come again."""
    model = by_rows([0.2, 0.7, 0.1], [1, 0, 0], [0, 0.5, 0.5])
    result = ls.generate(
        model,
        [[0]],
        sampler=ls.Sampler(ls.NoRepeatNGram(1)),
        max_new_tokens=2,
        search=ls.BeamSearch(2),
    )
    assert result.token_ids == [[2, 1]]


def test_refusals(tiny_gpt2: Any) -> None:
    model = by_rows(*[[0.5, 0.3, 0.2]] * 3)

    def generate(message: str, prompts: Any = ([0], [1]), **options: Any) -> None:
        beams = options.pop("search", ls.BeamSearch(2))
        with pytest.raises(ValueError, match=message):
            ls.generate(
                options.pop("model", model), prompts, search=beams, max_new_tokens=3, **options
            )

    generate("n is 3, but BeamSearch keeps 2 texts", n=3)
    generate("BeamSearch compares several tokens a step, and Greedy", sampler=ls.Greedy())
    generate("only at its end", on_text=print)
    with pytest.raises(ValueError, match="only at its end"):
        ls.stream(tiny_gpt2, "a", search=ls.BeamSearch(2), max_new_tokens=3)
    generate("BeamSearch does not go together with should_stop=", should_stop=lambda row, ids: True)
    generate("BeamSearch does not go together with overflow=", overflow="slide")
    generate("BeamSearch does not go together with stop=", model=tiny_gpt2, prompts="a", stop="b")
    generate("search must be a BeamSearch or a ContrastiveSearch, got 3", search=3)
    generate("prompt 0: n is 2, but the search found 1 texts", sampler=ls.Sampler(ls.TopK(1)), n=2)
    heats = ls.Sampler(ls.Temperature([1.0, 2.0, 1.0, 1.0]))
    generate("the rows of prompt 0 have different parameters", sampler=heats, n=2)
    generate(
        "prompt 1, new token 0: logits hold NaN in this beam",
        model=lambda ids: np.where(ids[:, :1, None] == 1, np.nan, model(ids)),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, r"BeamSearch needs `num_beams` to be an integer of at least 1; got 0"),
        ({"num_beams": 2.0}, r"`num_beams` to be an integer of at least 1; got 2.0"),
        ({"num_beams": 4, "num_groups": 3}, r"`num_groups` to divide `num_beams`, 4; got 3"),
        ({"length_penalty": np.nan}, r"`length_penalty` to be a finite number in .*; got nan"),
        ({"diversity_penalty": -1}, r"`diversity_penalty` to be a finite number in \[0, .*got -1"),
        ({"early_stopping": "never"}, r"`early_stopping` to be one of \(True, False\)"),
    ],
)
def test_numbers_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ls.BeamSearch(**options)


def interrupted_call(*arguments: Any, **options: Any) -> Any:
    with pytest.raises(ls.Interrupted) as raised:
        ls.generate(*arguments, **options)
    return raised.value.result


def test_a_search_that_is_stopped_tells_the_best_so_far() -> None:
    table, calls = Table.of(4, 5), []

    def interrupted(ids: np.ndarray) -> np.ndarray:
        calls.append(ids.shape)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return table(ids)

    options: dict[str, Any] = {"n": 3, "search": ls.BeamSearch(3)}
    short = ls.generate(table, [[0], [1]], max_new_tokens=3, **options)
    result = interrupted_call(interrupted, [[0], [1]], max_new_tokens=9, **options)
    assert result.token_ids == short.token_ids
    assert result.scores == short.scores
    assert result.finish_reasons == ["interrupted"] * 6
    result = ls.generate(table, [[0], [1]], max_new_tokens=9, deadline=1e-9, **options)
    assert result.finish_reasons == ["deadline"] * 6
    first = ls.generate(table, [[0], [1]], max_new_tokens=1, **options)
    assert found(result) == [(ids, score, "deadline") for ids, score, _ in found(first)]
    calls[:] = [(0, 0)] * 3  # in the prompt
    result = interrupted_call(interrupted, [[0], [1]], max_new_tokens=9, **options)
    assert result.token_ids == [[]] * 6 and result.scores is None
    assert result.finish_reasons == ["interrupted"] * 6


def test_numbers_for_each_prompt() -> None:
    table = Table.of(5, 4)
    heats = ls.Sampler(ls.Temperature([0.5, 0.5, 3.0, 3.0]))
    search = ls.BeamSearch(3)
    both = ls.generate(table, [[0], [1]], sampler=heats, n=2, max_new_tokens=4, search=search)
    for i, heat in enumerate((0.5, 3.0)):
        own = ls.Sampler(ls.Temperature(heat))
        alone = ls.generate(table, [[i]], sampler=own, n=2, max_new_tokens=4, search=search)
        assert found(alone) == found(both)[2 * i : 2 * i + 2]


def test_the_oracle_sees_all_texts() -> None:
    """Of the tests, not of the search: 3 + 2 * 3 texts where one of three tokens ends them."""
    texts = all_texts(Table.of(0, 3), [0], 2, {2}, 0.0, ls.Sampler())
    assert {ids for ids, _, _ in texts} == {(2,)} | set(product((0, 1), range(3)))
    assert sum(np.exp(score) for _, score, _ in texts) == pytest.approx(1)
