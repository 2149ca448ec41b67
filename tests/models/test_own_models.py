"""Keras models and functions of one's own, on whatever backend Keras runs (`KERAS_BACKEND`)."""

import gc
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import keras_hub
import numpy as np
import pytest
from keras import layers, ops

import logit_sampling as ls
from logit_sampling.decoding.window import window_start
from tests.generation.models import Bytes, Windowed, counter

VOCAB, WIDTH = 12, 8
ON_JAX = keras.backend.backend() == "jax"
GREEDY = ls.Greedy()
PROMPTS = [[1, 2], [3], [4, 5, 6, 7, 8], [9, 1]]

Numpy = Callable[[np.ndarray], np.ndarray]


@keras.saving.register_keras_serializable("own")
class Positions(layers.Layer):
    """Adds to each token what is learned for its place; counts how often Python runs through it."""

    calls: ClassVar[int] = (
        0  # of all: an attribute of a layer that changes is a change of the model
    )

    def __init__(self, count: int, from_end: bool = False) -> None:
        super().__init__()
        self.supports_masking = True
        self.count, self.from_end = count, from_end

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=(self.count, shape[-1]), initializer="normal")

    def call(self, x: Any) -> Any:
        Positions.calls += 1
        places = ops.arange(ops.shape(x)[1])
        places = ops.flip(places) if self.from_end else places
        return x + ops.take(self.table, places, axis=0)


def spread(model: Any, seed: int = 0) -> Any:
    """Give weights at which the next token depends clearly on the text."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def gru(length: int | None = None) -> Any:
    return spread(
        keras.Sequential(
            [
                keras.Input((length,), dtype="int32"),
                layers.Embedding(VOCAB, WIDTH),
                layers.GRU(WIDTH, return_sequences=True),
                layers.Dense(VOCAB),
            ],
            name="recurrent",
        )
    )


def bidirectional(length: int | None = None) -> Any:
    recurrent = layers.Bidirectional(layers.GRU(WIDTH, return_sequences=True))
    return spread(
        keras.Sequential(
            [
                keras.Input((length,), dtype="int32"),
                layers.Embedding(VOCAB, WIDTH),
                recurrent,
                layers.Dense(VOCAB),
            ],
            name="both_ways",
        )
    )


def transformer(
    length: int | None = None, causal: bool = True, mask: bool = False, **options: Any
) -> Any:
    ids = keras.Input((length,), dtype="int32")
    x = layers.Embedding(VOCAB, WIDTH, mask_zero=mask)(ids)
    x = Positions(options.pop("count", 256), **options)(x)
    x += layers.MultiHeadAttention(2, WIDTH // 2)(x, x, use_causal_mask=causal)
    model = keras.Model(ids, layers.Dense(VOCAB)(x), name="attention")
    return spread(model)


def window(length: int = 8) -> Any:
    """As in many a tutorial: so many tokens, and the logits of the next."""
    stack = [layers.Embedding(VOCAB, WIDTH), layers.Flatten(), layers.Dense(VOCAB)]
    return spread(keras.Sequential([keras.Input((length,), dtype="int32"), *stack], name="window"))


def numpy_gru(x: np.ndarray, kernel: Any, recurrent: Any, bias: Any) -> np.ndarray:
    h, states = np.zeros((len(x), WIDTH), np.float32), []
    for step in x.swapaxes(0, 1):
        own = np.split(step @ kernel + bias[0], 3, axis=-1)
        past = np.split(h @ recurrent + bias[1], 3, axis=-1)
        z, r = (1 / (1 + np.exp(-own[i] - past[i])) for i in range(2))
        h = z * h + (1 - z) * np.tanh(own[2] + r * past[2])
        states.append(h)
    return np.stack(states, axis=1)


def by_hand(model: Any) -> Numpy:
    """What a model computes, with its weights, in NumPy."""
    embedding, *weights, kernel, bias = model.get_weights()

    def attention(x: np.ndarray) -> np.ndarray:
        table, qk, qb, kk, kb, vk, vb, ok, ob = weights
        x = x + table[: x.shape[1]]
        q, k, v = (
            np.einsum("bld,dhe->bhle", x, kernel) + own[:, None]
            for kernel, own in ((qk, qb), (kk, kb), (vk, vb))
        )
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(WIDTH // 2)
        scores += np.triu(np.full(scores.shape[-2:], -1e9), 1)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        return x + np.einsum("bhle,hed->bld", scores @ v, ok) + ob

    def function(ids: np.ndarray) -> np.ndarray:
        x = embedding[ids]
        if model.name == "recurrent":
            x = numpy_gru(x, *weights)
        elif model.name == "both_ways":
            back = numpy_gru(x[:, ::-1], *weights[3:])[:, ::-1]
            x = np.concatenate([numpy_gru(x, *weights[:3]), back], axis=-1)
        elif model.name == "attention":
            x = attention(x)
        else:
            x = x.reshape(len(x), -1)
        return (x @ kernel + bias).astype(np.float32)

    return function


def last(function: Numpy) -> Numpy:
    """A function that tells the end of each text alone, so that it may look at all of it."""
    return lambda ids: function(ids)[:, -1]


def same(a: Any, b: Any, prompts: Any = PROMPTS, **options: Any) -> Any:
    """Generate with two models; the texts must be the same."""
    options = {"sampler": ls.Sampler(ls.TopK(6)), "max_new_tokens": 9, "seed": 5, **options}
    got, want = (ls.generate(model, prompts, **options) for model in (a, b))
    assert got.token_ids == want.token_ids
    for mine, theirs in zip(got.log_probs, want.log_probs, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    return got


def same_scores(a: Any, b: Any, **options: Any) -> None:
    """Score with two models."""
    texts = [[1, 2, 3, 4, 5, 6, 7], [2, 0, 9]]
    got, want = (ls.score(model, texts, **options).log_probs for model in (a, b))
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(mine[1:], theirs[1:], atol=1e-4)


@pytest.mark.parametrize("build", [gru, transformer])
def test_the_tokens_of_a_numpy_function_with_the_same_weights(build: Any) -> None:
    model = build()
    function = by_hand(model)
    same(model, function)
    same(model, function, search=ls.BeamSearch(2))
    same(model, function, draft=by_hand(gru()))
    same(model, function, [[0, 0, 3], [5, 0]])  # 0 is a token as any other
    same_scores(model, function)


def test_a_model_that_looks_behind() -> None:
    """What follows a token is told by the text up to there alone, never by more of it."""
    model = bidirectional()
    function = last(by_hand(model))
    same(model, function, [[1, 2], [3]], max_new_tokens=4)
    same_scores(model, function)


@pytest.mark.parametrize("build", [gru, transformer])
@pytest.mark.parametrize("length", [1, 2, 5, 20, 40, 100])
def test_a_causal_model_with_a_fixed_input(build: Any, length: int) -> None:
    model, function = build(length), by_hand(build())
    own, other = ls.as_model(model), ls.as_model(function, context_length=length)
    assert own.context_length == length and own.stride is None
    if length > 5:
        same(own, other, max_new_tokens=min(length - 5, 30))
    same(own, other, max_new_tokens=12, overflow="slide")
    text = [np.random.default_rng(1).integers(0, VOCAB, 2 * length + 3).tolist()]
    got, want = (ls.score(m, text, overflow="slide").log_probs[0][1:] for m in (own, other))
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_fixed_input_that_takes_no_other_length() -> None:
    """Its layers know how many tokens there are, so that shorter widths do not even run."""
    ids = keras.Input((40,), dtype="int32")
    x = layers.Embedding(VOCAB, WIDTH)(ids)
    x = layers.Reshape((40, 2, WIDTH // 2))(x)
    x = layers.GRU(WIDTH, return_sequences=True)(layers.Reshape((40, WIDTH))(x))
    model = spread(keras.Model(ids, layers.Dense(VOCAB)(x), name="recurrent"))
    assert same(model, by_hand(model), max_new_tokens=30)
    with pytest.raises(ValueError, match="the context of model 'recurrent', 40: ask for at most"):
        ls.generate(model, [[1, 2]], max_new_tokens=39)


@pytest.mark.parametrize(("build", "traces"), [(transformer, 1), (gru, 3)])
def test_texts_are_padded_to_few_lengths(build: Any, traces: int) -> None:
    model = build(200)
    same(model, by_hand(model), [[1, 2, 3]], max_new_tokens=40, sampler=GREEDY)
    # A functional model takes what it was made for, 200 tokens; a `Sequential` others too, so that
    # 3 to 32 and to 43 tokens are read in 32 and in 64, which were compared with 200. TensorFlow
    # traces once more to try other weights.
    programs = {"jax": traces, "tensorflow": 2 * traces, "torch": 0}
    assert ls.as_model(model).traces == programs[keras.backend.backend()]


CAUSAL = r"reads 24 tokens at once, and a text of [12] cannot be padded behind: "
NUMBERS = (
    r"the logits of its first (\d+ )?tokens? change with what stands behind "
    r"\(by up to [\d.e-]+, where the greatest is"
)


@pytest.mark.parametrize("build", [bidirectional, lambda n: transformer(n, causal=False)])
def test_a_fixed_input_of_a_model_that_is_not_causal(build: Any) -> None:
    model = build(24)
    with pytest.raises(ValueError, match=CAUSAL + NUMBERS) as raised:
        ls.generate(model, [[1, 2]], max_new_tokens=3)
    assert "\n" not in str(raised.value) and "left_pad_id=0" in str(raised.value)
    with pytest.raises(ValueError, match=CAUSAL):
        ls.score(model, [[1, 2, 3]])
    # With a full input there is nothing to pad.
    text = np.random.default_rng(0).integers(1, VOCAB, (2, 24)).tolist()
    own = ls.as_model(model)
    output, _ = own.prefill(text)
    np.testing.assert_allclose(
        output.logits[:, 0], ops.convert_to_numpy(model(np.array(text)))[:, -1], atol=1e-4
    )
    by_window = last(lambda ids: ops.convert_to_numpy(model(ids[:, -24:])))
    same(own, by_window, text, overflow="slide")


def test_a_dependence_that_the_weights_hide() -> None:
    """As of a part that is added with the factor 0, which training moves."""
    ids = keras.Input((16,), dtype="int32")
    x = layers.Embedding(VOCAB, WIDTH)(ids)
    gate = layers.Dense(WIDTH, kernel_initializer="zeros")
    x += gate(layers.Bidirectional(layers.GRU(WIDTH, return_sequences=True))(x))
    model = keras.Model(ids, layers.Dense(VOCAB)(x))
    with pytest.raises(ValueError, match=NUMBERS + r".*, with random weights; give prompts of 16"):
        ls.generate(model, [[1, 2]], max_new_tokens=3)


@pytest.mark.parametrize("length", [None, 20])
def test_a_mask_of_token_0(length: int | None) -> None:
    """A token 0 itself attends to all or nothing, so to the padding; other texts may be padded."""
    model, recurrent = transformer(length, mask=True), gru(length)
    recurrent.layers[0].mask_zero = True
    whole = transformer(mask=True)
    exact = last(lambda ids: ops.convert_to_numpy(whole(ids)))
    same(model, exact, sampler=ls.Sampler(ls.SuppressTokens([0])), max_new_tokens=3)
    if length is None:
        same(model, exact, [[3, 0], [0, 3, 4]], max_new_tokens=2)
    else:
        with pytest.raises(ValueError, match="a text of 2 with token 0 in it cannot be padded"):
            ls.generate(model, [[3, 0]], max_new_tokens=3)
    masked = last(lambda ids: ops.convert_to_numpy(recurrent(np.array(ids))))
    same(recurrent, masked, [[3, 0], [4, 0, 2]], max_new_tokens=2)


def test_the_logits_of_the_next_token_alone() -> None:
    model, rng = window(8), np.random.default_rng(0)
    function = by_hand(model)
    own = ls.as_model(model)
    assert (own.context_length, own.stride) == (8, 1)
    prompts = [rng.integers(0, VOCAB, n).tolist() for n in (8, 9, 30)]
    same(own, lambda ids: function(ids[:, -8:]), prompts, overflow="slide", max_new_tokens=20)
    with pytest.raises(ValueError, match=r"8 has 8 and a new token|overflow=\"slide\""):
        ls.generate(model, prompts)
    short = "a text of 3 cannot be padded behind: it gives the logits of what follows the last"
    with pytest.raises(ValueError, match=short) as raised:
        ls.generate(model, [[1, 2, 3]], max_new_tokens=2)
    assert "\n" not in str(raised.value)
    for options in ({"overflow": "slide"}, {"search": ls.BeamSearch(2)}):
        with pytest.raises(ValueError, match=short):
            ls.generate(model, [[1, 2, 3]], max_new_tokens=2, **options)


def test_a_window_that_was_padded_in_front_in_training() -> None:
    model, rng = window(8), np.random.default_rng(0)
    function = by_hand(model)

    def padded(ids: np.ndarray) -> np.ndarray:
        return function(np.pad(ids, [(0, 0), (8, 0)], constant_values=7)[:, -8:])

    own = ls.as_model(model, left_pad_id=7)
    prompts = [[1], [2, 3, 4], rng.integers(0, VOCAB, 20).tolist()]
    same(own, padded, prompts, overflow="slide", max_new_tokens=20)
    same(own, padded, prompts[:2], max_new_tokens=4)
    text = [rng.integers(0, VOCAB, 15).tolist()]
    np.testing.assert_allclose(
        ls.score(own, text, overflow="slide").totals, ls.score(padded, text).totals, rtol=1e-5
    )
    # Padding in front makes the input full, whatever the model looks at.
    both = ls.as_model(bidirectional(16), left_pad_id=0)
    assert len(ls.generate(both, [[1, 2]], max_new_tokens=5).token_ids[0]) == 5
    two_ways = by_hand(bidirectional())
    same(both, last(lambda ids: two_ways(np.pad(ids, [(0, 0), (16, 0)])[:, -16:])))


def test_the_window_that_slides_by_one_token() -> None:
    assert [window_start(n, 8, 1) for n in (7, 8, 9, 10)] == [0, 0, 1, 2]
    model = Windowed(6)
    model.stride = 1  # type: ignore[attr-defined]
    result = ls.generate(model, [[1, 2, 3]], max_new_tokens=9, sampler=GREEDY, overflow="slide")
    text = [1, 2, 3]
    for token in result.token_ids[0]:
        assert token == model.row(text[-6:]).argmax()
        text.append(token)
    scored = ls.score(model, [text], overflow="slide").log_probs[0]
    for place in range(1, len(text)):
        logits = model.row(text[max(0, place - 6) : place]).astype(np.float64)
        assert scored[place] == pytest.approx(logits[text[place]] - np.log(np.exp(logits).sum()))


def test_hundred_tokens_compile_a_handful_of_times() -> None:
    """On JAX; TensorFlow traces once for all lengths, and torch compiles nothing."""
    model = transformer()
    Positions.calls = 0
    same(model, by_hand(model), [[1, 2, 3]], max_new_tokens=100, sampler=GREEDY)
    own = ls.as_model(model)
    once = {"jax": 4, "tensorflow": 1}  # 16 (to compare), 32, 64 and 128 tokens
    if keras.backend.backend() in once:
        assert Positions.calls == own.traces == once[keras.backend.backend()]
        # Other prompts, seeds, samplers and lengths, and other weights, compile nothing.
        spread(model, seed=1)
        same(model, by_hand(model), [[4, 5], [4, 5]], max_new_tokens=60, n=1)
        assert own.traces <= once[keras.backend.backend()] + 2 * ON_JAX
        traced = own.traces
        same(model, by_hand(model), [[7, 5, 3], [1]], max_new_tokens=61, seed=9)
        assert own.traces == traced


def test_batches_are_compiled_for_few_sizes() -> None:
    if not ON_JAX:
        pytest.skip("only JAX compiles for each batch")
    model = gru()
    prompts = [[1 + i] * (1 + i) for i in range(8)]
    for count in (8, 7, 6, 5):
        same(model, by_hand(model), prompts[:count], max_new_tokens=3)
    # All are read as 8 rows of 32 tokens, whatever their lengths; those of 16 are there to compare.
    assert ls.as_model(model).traces == 2


def test_new_weights_and_layers_count() -> None:
    for length in (None, 30):
        model = gru(length)
        own = ls.as_model(model, name="mine")
        before = same(own, by_hand(model), sampler=GREEDY).token_ids
        spread(model, seed=3)
        assert same(own, by_hand(model), sampler=GREEDY).token_ids != before
        model.layers[-1].activation = lambda x: -x
        turned = by_hand(model)
        same(own, lambda ids, turned=turned: -turned(ids), sampler=GREEDY)


def test_places_that_run_out_within_a_padded_length() -> None:
    """Of 48 places nothing is known: JAX pads 40 tokens to 64 if it is not told."""
    for told in ({}, {"context_length": 48}):
        model = transformer(count=48)
        own: Any = ls.as_model(model, **told)
        same(own, by_hand(model), [[1, 2] * 16], max_new_tokens=3)
    if ON_JAX:
        assert own.traces == 4  # 32 and 48 tokens, and half of each to compare
    with pytest.raises(ValueError, match="the context of model 'attention', 48"):
        ls.generate(ls.as_model(model, context_length=48), [[1, 2]], max_new_tokens=47)


def test_a_model_that_counts_from_the_end() -> None:
    """No token behind changes anything, but their number does."""
    ids = keras.Input((None,), dtype="int32")
    x = Positions(256, from_end=True)(layers.Embedding(VOCAB, WIDTH)(ids))
    model = spread(keras.Model(ids, layers.Dense(VOCAB)(layers.Dense(WIDTH, "relu")(x))))
    exact = last(lambda given: ops.convert_to_numpy(model(given)))
    same(model, exact, max_new_tokens=3)
    text = [[1, 2, 3, 4, 5]]
    np.testing.assert_allclose(ls.score(model, text).totals, ls.score(exact, text).totals, 1e-5)


def test_rows_of_which_a_model_takes_so_many() -> None:
    ids = keras.Input(batch_shape=(2, 16), dtype="int32")
    x = layers.GRU(WIDTH, return_sequences=True)(layers.Embedding(VOCAB, WIDTH)(ids))
    model = spread(keras.Model(ids, layers.Dense(VOCAB)(x), name="recurrent"))
    same(model, by_hand(model), [*PROMPTS, [3, 3]])
    # The shape of the first array that a model was called on is no declaration.
    undeclared = keras.Sequential([layers.Embedding(VOCAB, WIDTH), layers.Dense(VOCAB)])
    undeclared(np.zeros((2, 3), np.int32))
    assert ls.as_model(undeclared).context_length is None
    assert len(ls.generate(undeclared, PROMPTS, max_new_tokens=5, seed=0).token_ids) == 4


def test_a_model_that_is_not_built() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = layers.Embedding(VOCAB, WIDTH), layers.Dense(VOCAB)

        def call(self, ids: Any) -> Any:  # it knows of no training
            return self.head(self.embedding(ids))

    for model in (Own(), keras.Sequential([layers.Embedding(VOCAB, WIDTH), layers.Dense(VOCAB)])):
        assert ls.as_model(model).traces == 0
        ls.generate(model, [[1, 2]], max_new_tokens=2)
        table, kernel, bias = spread(model).get_weights()
        same(model, lambda ids, t=table, k=kernel, b=bias: t[ids] @ k + b)


def test_a_layer_that_jax_cannot_trace() -> None:
    if not ON_JAX:
        pytest.skip("it is about JAX")

    class Host(layers.Layer):
        def compute_output_shape(self, shape: Any) -> Any:
            return shape

        def call(self, x: Any) -> Any:
            return ops.array(np.asarray(x) * 2)

    for length in (None, 8):
        model = gru(length)
        twice = spread(keras.Sequential([keras.Input((length,)), *model.layers, Host()]))
        function = by_hand(model)
        same(twice, lambda ids, f=function: 2 * f(ids), [[1, 2], [3]], max_new_tokens=3)
        assert ls.as_model(twice).traces == 0


def test_hidden_states_of_a_pair() -> None:
    embedding, head = layers.Embedding(VOCAB, WIDTH), layers.Dense(VOCAB)

    class Pair(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = embedding, head

        def call(self, ids: Any) -> Any:
            x = self.embedding(ids)
            return self.head(x), x

    model = Pair()
    ls.generate(model, [[1]], max_new_tokens=2)
    table, kernel, bias = spread(model).get_weights()
    search = ls.ContrastiveSearch(k=3, alpha=0.4)
    same(model, lambda ids: (table[ids] @ kernel + bias, table[ids]), search=search, sampler=None)


def test_what_a_model_of_ones_own_is_told() -> None:
    function = by_hand(gru())
    for model in (gru(), function):
        own = ls.as_model(
            model,
            name="mine",
            context_length=20,
            vocab_size=10,
            end_ids=[3, 4],
            tokenizer=Digits(),
        )
        assert (own.name, own.context_length, own.vocab_size, own.end_ids) == (
            "mine",
            20,
            10,
            (3, 4),
        )
        result = ls.generate(own, ["12", "5"], max_new_tokens=15, seed=0, n=20)
        ended = [ids[-1] in (3, 4) for ids in result.token_ids]
        assert any(ended) and not any(i in (3, 4) for ids in result.token_ids for i in ids[:-1])
        assert ended == [reason == "end_token" for reason in result.finish_reasons]
        assert max(max(ids) for ids in result.token_ids) < 10  # of 12 logits
        for ids, text, end in zip(result.token_ids, result.texts, ended, strict=True):
            assert text == "".join(map(str, ids[:-1] if end else ids))
        pieces = "".join(e.text for e in ls.stream(own, "12", max_new_tokens=15, seed=0))
        assert pieces == result.texts[0]
        stopped = ls.generate(own, "12", max_new_tokens=15, seed=1, stop="7", stop_at_end=False)
        assert "7" not in stopped.texts[0]
        assert ls.score(own, ["123"]).counts == [2]
        errors: list[tuple[dict[str, Any], str]] = [
            ({"prompts": [[10]]}, r"integers in \[0, 10\)"),
            ({"prompts": "12", "max_new_tokens": 19}, "the context of model 'mine', 20: ask for"),
            ({"prompts": "1" * 20}, "the context of model 'mine' has 20"),
            (
                {"prompts": "12", "stop_token_ids": [10], "max_new_tokens": 9},
                r"in \[0, 10\); got \[10\]",
            ),
        ]
        for options, message in errors:
            with pytest.raises(ValueError, match=message) as raised:
                ls.generate(own, **options)
            assert "\n" not in str(raised.value)
        text = "1" * 30
        assert len(ls.generate(own, text, max_new_tokens=9, overflow="slide").texts) == 1
        with pytest.raises(
            ValueError, match="text 0 has 30 tokens, but the context of model 'mine'"
        ):
            ls.score(own, text)


class Digits:
    """Each digit is a token."""

    @staticmethod
    def encode(text: str) -> list[int]:
        return [int(c) for c in text]

    @staticmethod
    def decode(ids: list[int]) -> str:
        return "".join(map(str, ids))


def test_whatever_takes_a_model_takes_one_of_ones_own() -> None:
    model = gru()
    own = ls.as_model(model, tokenizer=Digits(), vocab_size=10, end_ids=3)
    samplers = {"greedy": GREEDY, "pure": ls.Sampler()}
    table = ls.compare(own, ["12", "3"], samplers, seeds=[0, 1], max_new_tokens=6)
    assert [r.name for r in table.results] == ["greedy", "pure"] and table.results[0].texts[0].text
    logits = own.prefill([[1, 2]])[0].logits[0, -1]
    assert logits.shape == (10,)
    assert "TopK" in str(ls.Sampler(ls.TopK(3)).explain(logits))
    drafted = ls.generate(own, ["12"], draft=own, max_new_tokens=9, seed=0, stop_at_end=False)
    plain = ls.generate(own, ["12"], max_new_tokens=9, seed=0, stop_at_end=False)
    assert drafted.accepted and len(drafted.token_ids[0]) == len(plain.token_ids[0]) == 9
    for given in (own, ls.as_model(model)):
        assert ls.check_logits(given).output == "logits"
    with pytest.raises(ValueError, match=r"a Keras model, a layer or float values, got function"):
        ls.check_logits(ls.as_model(lambda ids: ids, context_length=3))


def test_a_model_described_again() -> None:
    first = ls.as_model(window(8), name="first", end_ids=3)
    second = ls.as_model(first, tokenizer=Digits(), context_length=6, left_pad_id=0)
    assert (second.name, second.end_ids, second.context_length) == ("first", (3,), 6)
    assert (first.context_length, first.tokenizer) == (8, None)
    assert second.model.keras_model is first.model.keras_model  # type: ignore[attr-defined]
    assert ls.as_model(second, end_ids=()).end_ids == ()
    ls.generate(second, "1", max_new_tokens=5)
    assert ls.as_model(Windowed(7), context_length=5).context_length == 5


def test_a_model_is_kept_as_long_as_its_description() -> None:
    model = gru()
    gone = weakref.ref(model)
    own = ls.as_model(model, end_ids=3)
    del model
    gc.collect()
    ls.generate(own, [[1]], max_new_tokens=3)
    del own
    gc.collect()
    assert gone() is None


class Letters:
    def encode(self, text: str) -> list[int]:
        return [ord(letter) - 97 for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(97 + id) for id in ids)


def test_a_text_that_a_model_cannot_take_says_what_to_tell() -> None:
    """A table of 8 places is all that it has, and its input is of any length."""
    ids = keras.Input((None,), dtype="int32")
    x = keras_hub.layers.TokenAndPositionEmbedding(VOCAB, 8, 4)(ids)
    model = keras.Model(ids, layers.Dense(VOCAB)(x))
    with pytest.raises(Exception, match=r"\S") as raised:
        ls.generate(model, [[1]], max_new_tokens=20, seed=0)
    (note,) = raised.value.__notes__
    assert (
        "shape (1, 9). If 9 tokens are more" in note and "as_model(model, context_length=" in note
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context_length": 0}, "context_length must be an integer of at least 1, got 0"),
        ({"context_length": True}, "got True"),
        ({"context_length": 3.5}, "got 3.5"),
        ({"context_length": 9}, "context_length is 9, and model 'window' has 8: give at most that"),
        ({"vocab_size": -1}, "vocab_size must be an integer of at least 1, got -1"),
        ({"end_ids": -1}, "end_ids must be a token id or several, integers from 0 on; got -1"),
        ({"end_ids": [1, True]}, r"got \[1, True\]"),
        ({"end_ids": "</s>"}, "got '</s>'"),
        ({"end_ids": 2.0}, "got 2.0"),
        ({"end_ids": [3, 12], "vocab_size": 12}, r"end_ids must be in \[0, 12\), .*; got \[12\]"),
        ({"tokenizer": 5}, "a tokenizer needs encode.*; got 5"),
        ({"tokenizer": Bytes}, ""),  # a class with static methods has both
        ({"tokenizer": Letters}, r"Letters is a class: pass a tokenizer that it makes, Letters\("),
        ({"name": ""}, "name must be a string that is not empty, got ''"),
        ({"left_pad_id": -3}, "left_pad_id must be an integer of at least 0, got -3"),
    ],
)
def test_values_that_are_none(options: dict[str, Any], message: str) -> None:
    if not message:
        assert ls.as_model(window(8), **options).tokenizer is not None
        return
    with pytest.raises(ValueError, match=message) as raised:
        ls.as_model(window(8), **options)
    assert "\n" not in str(raised.value)


def test_models_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"a model is what load_model returns, .*; got 5"):
        ls.as_model(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="left_pad_id is 0, and only a Keras model whose input"):
        ls.as_model(gru(), left_pad_id=0)
    with pytest.raises(ValueError, match="left_pad_id is 0, and only"):
        ls.as_model(counter, left_pad_id=0)
    one_hot = keras.Sequential([keras.Input((8, VOCAB)), layers.GRU(4), layers.Dense(VOCAB)])
    with pytest.raises(ValueError, match=r"inputs of shape \(None, 8, 12\), .*: pass a function"):
        ls.generate(one_hot, [[1]], max_new_tokens=1)
    two = {name: keras.Input((None,), name=name) for name in ("a", "b")}
    with pytest.raises(ValueError, match=r"inputs of shape \(None, None\), \(None, None\), and"):
        ls.as_model(keras.Model(two, two["a"] + two["b"]))
    ids = keras.Input(batch_shape=(1, 4), dtype="int32")
    x = layers.GRU(4, stateful=True, name="memory")(layers.Embedding(VOCAB, 4)(ids))
    with pytest.raises(ValueError, match=r"layer 'memory' of model .* is stateful"):
        ls.generate(keras.Model(ids, layers.Dense(VOCAB)(x)), [[1]], max_new_tokens=1)


def test_kerashub_models_are_told_too(tiny_gpt2: Any, tiny_llama: Any) -> None:
    own = ls.as_model(tiny_gpt2, context_length=30, end_ids=5)
    assert (own.context_length, own.end_ids, own.vocab_size) == (30, (5,), 261)
    options: dict[str, Any] = {"sampler": ls.Sampler(ls.LogitBias({5: 99.0})), "seed": 0}
    assert ls.generate(own, "a", max_new_tokens=3, **options).token_ids == [[5]]
    with pytest.raises(ValueError, match="30: ask for at most 28 new tokens"):
        ls.generate(own, "a", max_new_tokens=30)
    with pytest.raises(
        ValueError, match=r"context_length is 49, and model 'gpt2_causal_lm.* has 48"
    ):
        ls.as_model(tiny_gpt2, context_length=49)
    with pytest.raises(ValueError, match=r"vocab_size is 300, and model .* has 261"):
        ls.as_model(tiny_gpt2, vocab_size=300)
    assert ls.as_model(tiny_llama, context_length=4096).context_length == 4096
    assert ls.check_logits(own).output == "logits"
