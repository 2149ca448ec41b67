"""A sampler in KerasHub's loop writes what our `generate` writes, in each of its modes."""

import subprocess
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import keras_hub
import numpy as np
import pytest
from keras import ops

import logit_sampling as ls
from logit_sampling.distribution.random import next_words, row_integers
from tests.backends import BACKEND, compiled_only, tensorflow_only
from tests.peers.rows import ROWS, assert_same, softmax
from tests.peers.test_keras_hub import distribution
from tests.processes import on

PROMPTS = [[7], [3, 1, 4, 1, 5, 9, 2, 6], [20, 21], [30, 31, 32]]
LENGTH, STOPS, SEED = 20, [5, 6], 2**33
PLAIN = ls.Sampler(ls.TopK(10))
HISTORY = ls.Sampler(
    ls.RepetitionPenalty(1.3), ls.PresencePenalty(0.5), ls.NoRepeatNGram(2), ls.TopP(0.9)
)
FEEDBACK = ls.Sampler(
    ls.MinNewTokens(3, STOPS),
    ls.DRY(0.8),
    ls.XTC(0.5, 0.05),
    ls.Temperature([0.6, 1.0, 1.5, 0.9]),
    ls.Mirostat(tau=3.0),
)
XLA, GRAPH, EAGER = {"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}


def named(value: Any) -> str:
    """A name of a case that is the same in every process: without an address."""
    theirs = isinstance(value, keras_hub.samplers.Sampler)
    return type(value).__name__ if theirs else str(value)[:40]


def padded(prompts: list[list[int]] = PROMPTS, length: int = LENGTH) -> dict[str, np.ndarray]:
    ids, mask = np.zeros((2, len(prompts), length), np.int32)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)], mask[row, : len(prompt)] = prompt, 1
    return {"token_ids": ids, "padding_mask": mask}


def written(causal_lm: Any, sampler: Any, mode: dict[str, bool], stops: Any = STOPS) -> np.ndarray:
    causal_lm.compile(sampler=sampler, **mode)
    return causal_lm.generate(padded(), stop_token_ids=stops)["token_ids"]


def ours(causal_lm: Any, sampler: ls.Sampler, seed: Any = SEED, stops: Any = STOPS) -> np.ndarray:
    result = ls.generate(
        causal_lm,
        PROMPTS,
        sampler=sampler,
        seed=seed,
        stop_at_end=stops,
        max_new_tokens=LENGTH - 1,
    )
    rows = [(p + ids)[:LENGTH] for p, ids in zip(PROMPTS, result.token_ids, strict=True)]
    return np.array([row + [0] * (LENGTH - len(row)) for row in rows])


@pytest.mark.parametrize(
    ("sampler", "mode"),
    [
        (FEEDBACK, XLA),
        *((s, GRAPH) for s in (ls.Greedy(), HISTORY)),
        *((s, EAGER) for s in (ls.Greedy(ls.BadWords([[7, 10]])), FEEDBACK)),
    ],
    ids=str,
)
def test_it_writes_the_tokens_of_generate(tiny_llama, sampler, mode):
    expected = ours(tiny_llama, sampler)
    assert written(tiny_llama, sampler.for_keras_hub(seed=SEED), mode).tolist() == expected.tolist()
    assert (expected[:, -1] == 0).any() and (expected[:, -1] > 0).any()  # some rows stop early
    if not isinstance(sampler, ls.Greedy):
        assert (ours(tiny_llama, sampler, seed=SEED + 1) != expected).any()


def test_texts(tiny_gpt2):
    prompts = ["the cat", "a", "you and the other"]
    sampler = ls.Sampler(ls.FrequencyPenalty(0.4), ls.TopK(40))
    tiny_gpt2.compile(sampler=sampler.for_keras_hub(seed=5))  # by default XLA
    texts = tiny_gpt2.generate(prompts, max_length=40, strip_prompt=True)
    for row, (prompt, seed) in enumerate(zip(prompts, row_integers(5, 3), strict=True)):
        room = 40 - 1 - len(tiny_gpt2.preprocessor.tokenizer.tokenize(prompt))
        alone = ls.generate(tiny_gpt2, prompt, sampler=sampler, seed=seed, max_new_tokens=room)
        assert len(alone.token_ids[0]) > 5
        assert alone.texts == [texts[row]]


def test_a_seed_for_each_row_and_another_one_without_tracing_again(tiny_llama):
    seeds = [4, 9, 2**63, 1]
    adapter = PLAIN.for_keras_hub(seed=seeds)
    first = written(tiny_llama, adapter, GRAPH)
    assert first.tolist() == ours(tiny_llama, PLAIN, seeds).tolist()
    assert adapter.seed == seeds
    adapter.seed = [9, 4, 1, 2**64 - 1]
    second = tiny_llama.generate(padded(), stop_token_ids=STOPS)["token_ids"]
    assert second.tolist() == ours(tiny_llama, PLAIN, adapter.seed).tolist()
    if BACKEND == "tensorflow":
        assert tiny_llama.generate_function.experimental_get_tracing_count() == 1
    with pytest.raises(ValueError, match="seed must be 4 integers"):
        adapter.seed = 7
    with pytest.raises(ValueError, match="seed has 3 values for 4 rows"):
        written(tiny_llama, PLAIN.for_keras_hub(seed=[1, 2, 3]), GRAPH)
    with pytest.raises(ValueError, match="seed must be an integer"):
        PLAIN.for_keras_hub(seed=0.5)


def test_without_a_seed_each_call_goes_on_from_one_that_is_told(tiny_llama):
    adapter = PLAIN.for_keras_hub()
    assert adapter.seed != PLAIN.for_keras_hub().seed
    adapter.seed = start = 2**32 - 2
    low, high = next_words((start, 0), 0)
    first = written(tiny_llama, adapter, GRAPH)
    assert first.tolist() == ours(tiny_llama, PLAIN, start).tolist()
    assert adapter.seed == low | high << 32
    second = tiny_llama.generate(padded(), stop_token_ids=STOPS)["token_ids"]
    assert second.tolist() == ours(tiny_llama, PLAIN, low | high << 32).tolist()
    assert second.tolist() != first.tolist()


def test_padding_that_is_a_stop_token_stops_nothing(tiny_llama):
    # KerasHub's own samplers see the padding behind the prompts, and write nothing at all.
    assert (written(tiny_llama, "greedy", EAGER, stops=[0]) == padded()["token_ids"]).all()
    free = written(tiny_llama, PLAIN.for_keras_hub(seed=1), GRAPH, stops=None)
    bound = tiny_llama.generate(padded(), stop_token_ids=[0])["token_ids"]
    for row, prompt in zip(free, PROMPTS, strict=True):
        row[len(prompt) :][np.cumsum(row[len(prompt) :] == 0) > 0] = 0
    assert bound.tolist() == free.tolist()


def test_start_and_padding_tokens_within_prompts(tiny_llama):
    # 0 is what pads, and 0 begins prompts and occurs in them: the mask tells.
    prompts = [[0, 7], [3, 0, 0, 9], [0], [0, 31, 0]]
    chain = ls.Sampler(ls.NoRepeatNGram(1), ls.TopK(10))
    tiny_llama.compile(sampler=chain.for_keras_hub(seed=1), **GRAPH)
    out = tiny_llama.generate(padded(prompts), stop_token_ids=None)["token_ids"]
    result = ls.generate(
        tiny_llama, prompts, sampler=chain, seed=1, stop_at_end=False, max_new_tokens=LENGTH - 1
    )
    for row, prompt, new in zip(out.tolist(), prompts, result.token_ids, strict=True):
        assert row == [*prompt, *new][:LENGTH]
        assert 0 not in row[len(prompt) :]


def test_a_mask_that_takes_the_last_token_of_a_prompt_for_padding():
    # KerasHub's RWKV7 masks each 0, also one that the text goes on from.
    chain = ls.Greedy(ls.NoRepeatNGram(1))
    logits = np.float32([[3.0, 2.0, 1.0]])
    out = chain.for_keras_hub()(
        lambda p, c, i: (logits, None, c), np.int32([[0, 0]]), index=1, mask=np.zeros((1, 2), bool)
    )
    assert np.asarray(out).tolist() == [[0, 1]]


ONCE = ls.Sampler(ls.AllowTokens([2]), ls.NoRepeatNGram(1))
EITHER = ls.Sampler(ls.AllowTokens([2, 5]), ls.NoRepeatNGram(1))


@compiled_only
def test_rows_with_nothing_to_draw_are_told(tiny_llama):
    with pytest.warns(UserWarning, match="row 0 ends at 2 tokens, .*; row 1 ends at 8 tokens"):
        out = written(tiny_llama, ONCE.for_keras_hub(seed=0), GRAPH, stops=None)
    for row, prompt in zip(out.tolist(), PROMPTS, strict=True):
        start = prompt if 2 in prompt else [*prompt, 2]
        assert row == start + [-1] * (LENGTH - len(start))


def test_in_eager_code_it_raises(tiny_llama):
    with pytest.raises(ValueError, match="every token of row 0 is at -inf"):
        written(tiny_llama, ONCE.for_keras_hub(seed=0), EAGER, stops=None)


@compiled_only
def test_it_is_told_each_time_and_nothing_is_traced_again(tiny_llama):
    tiny_llama.compile(sampler=EITHER.for_keras_hub(seed=0), **GRAPH)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(2):  # the prompt of row 1 holds 2 and 5
            out = tiny_llama.generate(padded(), stop_token_ids=[5])["token_ids"]
        tiny_llama.generate(padded([*PROMPTS[:1], [8] * 8, *PROMPTS[2:]]), stop_token_ids=[5])
    assert [(w.category, str(w.message)) for w in told] == 2 * [
        (
            UserWarning,
            "row 1 ends at 8 tokens, since the chain leaves no token to draw. "
            "Texts end there, and ids are -1 from there on",
        )
    ]
    assert out[1].tolist() == PROMPTS[1] + [-1] * (LENGTH - 8)
    for row in (0, 2, 3):
        assert 5 in out[row] and -1 not in out[row]
    if BACKEND == "tensorflow":
        assert tiny_llama.generate_function.experimental_get_tracing_count() == 1


@compiled_only
@pytest.mark.parametrize(("mode", "stops"), [(XLA, "auto"), (GRAPH, None)], ids=str)
def test_the_texts_of_rows_with_nothing_to_draw(tiny_gpt2, mode, stops):
    tokenizer = tiny_gpt2.preprocessor.tokenizer
    letters = [tokenizer.token_to_id(letter) for letter in "abc"]
    chain = ls.Sampler(ls.AllowTokens(letters), ls.NoRepeatNGram(1))
    tiny_gpt2.compile(sampler=chain.for_keras_hub(seed=0), **mode)
    prompts, written = ["xyz", "cab", "xb"], []
    told = "row 0 ends at 7 .* row 1 ends at 4 .* row 2 ends at 5"
    for strip in (False, True):
        with pytest.warns(UserWarning, match=told):
            written.append(tiny_gpt2.generate(prompts, 12, stops, strip_prompt=strip))
    texts, new = written
    assert ["".join(sorted(text)) for text in new] == ["abc", "", "ac"]
    assert texts == [prompt + text for prompt, text in zip(prompts, new, strict=True)]


class NoTokenizer:
    """What the loop looks at in a model whose `generate` was called."""

    trainable_variables = non_trainable_variables = ()
    preprocessor, generate_function = None, "compiled"


@tensorflow_only
def test_a_model_that_returns_nan():
    import tensorflow as tf

    logits = tf.constant([[np.nan, 0.0, 1.0], [0.0, 1.0, 2.0]])
    adapter = ONCE.for_keras_hub(seed=0)

    @tf.function
    def loop(prompt: Any) -> Any:
        return adapter(lambda p, c, i: (logits, None, c), prompt, index=1, model=NoTokenizer())

    message = "row 0 ends at 1 tokens, since the model's logits hold NaN; row 1 ends at 2 tokens, "
    with pytest.warns(UserWarning, match=message):
        out = loop(tf.constant([[1, 0, 0], [1, 0, 0]]))
    assert out.numpy().tolist() == [[1, -1, -1], [1, 2, -1]]


@tensorflow_only
def test_what_a_model_may_do_with_the_ids_in_its_graph():
    import tensorflow as tf

    adapter = ls.Greedy().for_keras_hub()

    def step(prompt: Any) -> Any:
        ids = adapter(
            lambda p, c, i: (tf.constant([[0.0, 1.0]]), None, c),
            prompt,
            index=1,
            model=NoTokenizer(),
        )
        return {
            "ids": ids,
            "parts": [ids[:, 1:], ids == 1, ids + 1, tf.cast(ids, tf.float32)],
            "keras": [
                ops.equal(ids, 1),
                ops.ones_like(ids, "bool"),
                ops.concatenate([prompt, ids]),
            ],
            "shape": [ids.shape[1], ids.dtype == tf.int32],
        }

    prompt, compiled = tf.constant([[0, 0, 0]]), tf.function(step)
    inside = tf.function(lambda x: compiled(x)["ids"] * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = compiled(prompt)
        assert isinstance(out["ids"], tf.Tensor) and out["ids"].numpy().tolist() == [[0, 1, 1]]
        assert [part.numpy().tolist() for part in out["parts"]] == [
            [[1, 1]],
            [[False, True, True]],
            [[1, 2, 2]],
            [[0.0, 1.0, 1.0]],
        ]
        assert [part.numpy().tolist() for part in out["keras"]] == [
            [[False, True, True]],
            [[True, True, True]],
            [[0, 0, 0], [0, 1, 1]],
        ]
        assert list(map(int, out["shape"])) == [3, 1]
        assert inside(prompt).numpy().tolist() == [[0, 2, 2]]


@tensorflow_only
def test_a_step_outside_of_generate_returns_plain_ids(tiny_llama):
    import tensorflow as tf

    tiny_llama.compile(sampler=ONCE.for_keras_hub(seed=0), **GRAPH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = tf.function(tiny_llama.generate_step)(padded([[1, 3]], 4))
    assert out["token_ids"].numpy().tolist() == [[1, 3, 2, -1]]


@tensorflow_only
def test_a_model_is_not_fed_with_a_token_that_is_none():
    import tensorflow as tf

    def next(prompt: Any, cache: Any, index: Any) -> Any:
        tf.debugging.assert_non_negative(prompt)
        return tf.zeros((2, 3)), None, cache

    adapter = ONCE.for_keras_hub(seed=0)
    loop = tf.function(lambda prompt: adapter(next, prompt, index=1))
    # The first row is at its end while the second one goes on.
    assert loop(tf.constant([[2, 0, 0], [1, 0, 0]])).numpy().tolist() == [[2, -1, -1], [1, 2, -1]]


def test_a_row_that_has_stopped_needs_nothing_to_draw(tiny_llama):
    prompts = [prompt for prompt in PROMPTS if 2 not in prompt]
    tiny_llama.compile(sampler=ONCE.for_keras_hub(seed=0), **EAGER)
    out = tiny_llama.generate(padded(prompts), stop_token_ids=[2])["token_ids"]
    assert out.tolist() == [p + [2] + [0] * (LENGTH - 1 - len(p)) for p in prompts]


@dataclass(frozen=True)
class Unheard(ls.Transform):
    """Carries what is no number."""

    def init(self, history: Any, vocab_size: int) -> Any:
        return ("text",)

    def apply(self, logits: Any, state: Any) -> Any:
        return logits


def test_a_state_that_no_tensor_holds(tiny_llama):
    with pytest.raises(ValueError, match=r"Sampler\(Unheard\(\)\) carries what no tensor can hold"):
        written(tiny_llama, ls.Sampler(Unheard()).for_keras_hub(), EAGER)


def test_what_is_no_part_of_graphs(tiny_tokenizer):
    pytest.importorskip("llguidance")
    guidance = ls.Guidance(2.0, lambda ids: np.zeros((len(ids), 50), np.float32))
    for transform in (ls.Grammar.regex("(ab)+", tiny_tokenizer), guidance):
        name = type(transform).__name__
        with pytest.raises(
            ValueError, match=f"^{name} runs Python in each step, .*with the model$"
        ):
            ls.Sampler(ls.TopK(3), transform).for_keras_hub()


def test_a_loop_without_model_or_mask():
    logits = np.log(np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]], np.float32))
    prompt = np.array([[1, 0, 0], [2, 0, 0]], np.int32)
    chain = ls.Sampler(ls.NoRepeatNGram(1), ls.Temperature(0))
    out = chain.for_keras_hub()(lambda p, c, i: (logits, None, c), prompt, index=1)
    # What stands before the index is the prompt.
    assert np.asarray(out).tolist() == [[1, 2, 0], [2, 0, 1]]


def test_serializing():
    adapter = ls.Sampler(ls.TopK(3), ls.TopP(0.5)).for_keras_hub(seed=[3, 4])
    again = keras_hub.samplers.deserialize(keras_hub.samplers.serialize(adapter))
    assert again.sampler == adapter.sampler and again.seed == [3, 4]
    assert ls.Greedy().for_keras_hub().get_config()["seed"] is None
    assert ls.Sampler.from_keras_hub(adapter) is adapter.sampler


def test_jax():
    code = """if True:
        import numpy as np, keras, logit_sampling as ls
        from tests.interop.test_keras_hub import SEED
        chain = ls.Sampler(ls.RepetitionPenalty(1.3), ls.NoRepeatNGram(2), ls.TopK(10))
        logits = np.random.default_rng(0).normal(0, 3, (30, 30)).astype("float32")
        def next(prompt, cache, index):
            return keras.ops.take(logits, prompt[:, index - 1], axis=0), None, cache
        prompt, mask = np.zeros((2, 2, 12), "int32")
        prompt[0, :1], prompt[1, :3] = 7, [1, 2, 3]
        mask[0, :1] = mask[1, :3] = 1
        adapter = chain.for_keras_hub(seed=SEED)
        def run(words, *arrays):
            with keras.StatelessScope([(adapter.variables[0], words)]):
                return adapter(next, arrays[0], index=1, mask=arrays[1])
        import jax
        compiled = jax.jit(run)(adapter.variables[0].value, prompt, mask)
        eager = adapter(next, prompt, index=1, mask=mask)  # but for the loop, which JAX compiles
        assert np.asarray(eager).tolist() == np.asarray(compiled).tolist()
        by_hand = ls.generate(lambda ids: logits[ids], [[7], [1, 2, 3]], sampler=chain,
                              seed=SEED, max_new_tokens=11).token_ids
        for row, start, new in zip(np.asarray(compiled), (1, 3), by_hand):
            assert row[start:].tolist() == new[:12 - start], (row, new)
        # Of a model compiled code tells which rows nothing could be drawn for.
        import warnings
        from tests.interop.test_keras_hub import ONCE, NoTokenizer
        nan = logits.copy()
        nan[4] = np.nan
        def next(prompt, cache, index):
            return keras.ops.take(nan, prompt[:, index - 1], axis=0), None, cache
        def run(prompt):
            return ONCE.for_keras_hub(seed=1)(next, prompt, index=1, model=NoTokenizer())
        for call in (jax.jit(run), run):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                out = np.asarray(call(np.int32([[4, 0, 0], [5, 0, 0]])))
                jax.effects_barrier()
            assert out.tolist() == [[4, -1, -1], [5, 2, -1]], out
            assert [str(w.message) for w in told] == [
                "row 0 ends at 1 tokens, since the model's logits hold NaN; row 1 ends at 2 tokens,"
                " since the chain leaves no token to draw. Texts end there, and ids are -1 from"
                " there on"], told
        print(keras.config.backend(), len(set(by_hand[0])))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], env=on("jax"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[0] == "jax" and int(done.stdout.split()[1]) > 6


# KerasHub's samplers as ours.

SAME = [
    ("random", ls.Sampler()),
    ("top_k", ls.Sampler(ls.TopK(5))),
    ("top_p", ls.Sampler(ls.TopP(0.1))),
    (keras_hub.samplers.TopPSampler, ls.Sampler(ls.TopP(0.1))),
    (
        keras_hub.samplers.RandomSampler(temperature=0.7, seed=3),
        ls.Sampler(ls.Temperature(0.7)),
    ),
    (
        keras_hub.samplers.TopKSampler(k=3, temperature=2.0),
        ls.Sampler(ls.Temperature(2.0), ls.TopK(3)),
    ),
    (
        keras_hub.samplers.serialize(keras_hub.samplers.TopPSampler(p=0.52, k=3, temperature=0.9)),
        ls.Sampler(ls.Temperature(0.9), ls.TopP(0.52), ls.TopK(3)),
    ),
]


@pytest.mark.parametrize(("theirs", "expected"), SAME, ids=named)
@pytest.mark.parametrize("row", [2, 3])
def test_a_sampler_of_theirs_as_ours(theirs, expected, row):
    mine = ls.Sampler.from_keras_hub(theirs)
    assert mine == expected
    sampler = keras_hub.samplers.get(theirs)
    sampler = sampler() if isinstance(sampler, type) else sampler
    assert_same(mine.probabilities(ROWS[row]), distribution(sampler, ROWS[row]), mine)
    assert np.abs(mine.probabilities(ROWS[row]) - softmax(ROWS[row] / 1.3)).max() > 1e-3


def test_greedy_there_and_back(tiny_llama):
    mine = ls.Sampler.from_keras_hub("greedy")
    assert mine == ls.Greedy()
    theirs = written(tiny_llama, "greedy", GRAPH, stops=None)
    assert ours(tiny_llama, mine, stops=False).tolist() == theirs.tolist()


class OfTheirOwn(keras_hub.samplers.TopKSampler):
    pass


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ("beam", r"BeamSampler does: use generate\(\.\.\., search=BeamSearch\(num_beams=5\)\)"),
        (keras_hub.samplers.BeamSampler(num_beams=3), r"BeamSearch\(num_beams=3\)"),
        ("contrastive", r"search=ContrastiveSearch\(k=5, alpha=0.6\)"),
        ("speculative", r"use generate\(\.\.\., draft=model, num_draft=5\)"),
        (OfTheirOwn(), "OfTheirOwn does: write its rule as a Transform"),
        ("Greedy", "'Greedy' is no KerasHub sampler"),
        ("nonsense", "'nonsense' is no KerasHub sampler"),
        (None, "None is no KerasHub sampler"),
        (keras_hub.samplers.RandomSampler(temperature=0.0), "no `temperature` of 0.0"),
        (keras_hub.samplers.TopKSampler(k=-1), "TopK needs `k`"),
    ],
    ids=named,
)
def test_refusals(theirs, message):
    with pytest.raises(ValueError, match=message):
        ls.Sampler.from_keras_hub(theirs)
