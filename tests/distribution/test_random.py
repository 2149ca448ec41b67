import subprocess
import sys

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers, row_seeds, threefry
from tests import oracle
from tests.processes import on

# Random123's known-answer vectors for threefry2x32 with 20 rounds: counter, key, result.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def words(pair):
    return tuple(np.asarray([word], np.uint32) for word in pair)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    assert threefry(key, counter) == expected
    result = threefry(words(key), words(counter))
    assert tuple(int(word[0]) for word in result) == expected
    assert {word.dtype for word in result} == {np.dtype(np.uint32)}
    assert oracle.threefry(key, counter) == expected


def test_keras_computes_the_same_bits():
    from keras import ops

    from logit_sampling.distribution.tensors import left_shift, right_shift

    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 2**32, 1000, dtype=np.uint32) for _ in range(4)]
    ours = threefry(tuple(arrays[:2]), tuple(arrays[2:]))
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    theirs = threefry(tuple(tensors[:2]), tuple(tensors[2:]), left_shift, right_shift, np.uint32)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, np.asarray(other))


def test_words_are_uniform_over_seeds_and_over_steps():
    from scipy import stats

    many = np.arange(100_000, dtype=np.uint32)
    none = np.zeros_like(many)
    over_seeds = threefry((many, none), (none, none))
    over_steps = threefry((none, none), (many, none))
    for word in (*over_seeds, *over_steps):
        counts = np.bincount(word >> 24, minlength=256)
        assert 1e-3 < stats.chisquare(counts).pvalue < 1 - 1e-3
    assert abs(np.corrcoef(over_seeds[0], np.roll(over_seeds[0], 1))[0, 1]) < 0.02


def test_row_seeds():
    first, *others = row_seeds(7, 3).tolist()
    assert first == [7, 0]
    assert others == [list(oracle.threefry((7, 0), (row, 2**32 - 3))) for row in (1, 2)]
    np.testing.assert_array_equal(row_seeds([2**32 + 5, -1], 2), [[5, 1], [2**32 - 1] * 2])
    np.testing.assert_array_equal(row_seeds(-1, 40)[:3], row_seeds(2**64 - 1, 3))
    fresh = row_seeds(None, 4)
    assert fresh.shape == (4, 2) and len({tuple(row) for row in fresh.tolist()}) == 4


def test_rows_of_neighbouring_seeds_share_no_seed():
    seeds = [seed for s in range(100) for seed in row_integers(s, 100)]
    assert len(set(seeds)) == len(seeds) == 10_000
    assert max(seeds) < 2**64


def test_a_rows_seed_repeats_it_alone():
    logits = np.random.default_rng(0).normal(size=(1, 1000)).repeat(40, 0)
    ids = ls.Sampler()(logits, seed=3, step=2)
    alone = [ls.Sampler()(logits[:1], seed=[s], step=2)[0] for s in row_integers(3, 40)]
    assert ids.tolist() == alone and len(set(alone)) > 30


SEEDS = {
    "tensorflow": """
for kind in ("int32", "uint32", "int64", "uint64", "int8"):
    for jit in (False, True) if kind in ("uint32", "int64") else (False,):
        f = tf.function(lambda z, s: sampler(z, seed=s), jit_compile=jit, autograph=False)
        for seed in (7, 2**31 - 1, 3 * 10**9, 2**63 + 5, -1, -(2**40)):
            if not np.iinfo(kind).min <= seed <= np.iinfo(kind).max:
                continue
            for given in (np.asarray(seed, kind), np.asarray([seed, 7, seed], kind)):
                want = sampler(x, seed=given.tolist()).tolist()
                assert f(x, tf.constant(given)).numpy().tolist() == want, (kind, seed)
opened = tf.function(
    lambda z: sampler(z, seed=-5), input_signature=[tf.TensorSpec([None, 50], tf.float32)]
)
assert opened(x).numpy().tolist() == sampler(x, seed=-5).tolist()
try:
    f(tf.constant(x), tf.constant([1, 2]))
except ValueError as error:
    assert "seed has 2 values for 3 rows" in str(error)
else:
    raise SystemExit("two seeds for three rows")
""",
    "jax": """
jit = jax.jit(lambda z, s: sampler(z, seed=s))
for seed in (jnp.uint32(3 * 10**9), jnp.int32(2**31 - 1), jnp.int32(-1), jnp.uint8(7)):
    assert np.asarray(jit(x, seed)).tolist() == sampler(x, seed=int(seed)).tolist(), seed
key = jax.random.split(jax.random.key(12345))[0]
low, high = (int(word) for word in jax.random.key_data(key)[::-1])
want = sampler(x, seed=low | high << 32).tolist()
assert sampler(x, seed=key).tolist() == want == np.asarray(jit(x, key)).tolist()
keys = jax.random.split(key, 3)
assert sampler(x, seed=keys).tolist() == np.asarray(jit(x, keys)).tolist()
for f in (sampler, jit):
    for bad, words in (
        (jax.random.PRNGKey(1), "old style"),
        (jax.random.key(1, impl="rbg"), "two words"),
    ):
        try:
            f(x, seed=bad) if f is sampler else f(x, bad)
        except ValueError as error:
            assert words in str(error), error
        else:
            raise SystemExit(f"{bad} was taken")
""",
}


@pytest.mark.parametrize("backend", SEEDS)
def test_seeds_that_are_tensors_draw_what_integers_draw(backend):
    module = {"tensorflow": "import tensorflow as tf", "jax": "import jax, jax.numpy as jnp"}
    code = f"""
import numpy as np
{module[backend]}
import logit_sampling as ls
sampler, x = ls.Sampler(), np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
{SEEDS[backend]}
"""
    if backend == "tensorflow":  # as here
        exec(code, {})
        return
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=on(backend)
    )
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.parametrize("seed", [1.5, "7", True, [1, 2.5], [[1, 2]]])
def test_a_seed_is_an_integer(seed):
    with pytest.raises(ValueError, match="seed must be an integer"):
        row_seeds(seed, 2)


def test_as_many_seeds_as_rows():
    with pytest.raises(ValueError, match="seed has 3 values for 2 rows"):
        row_seeds([1, 2, 3], 2)


def test_another_process_draws_the_same():
    code = (
        "import numpy as np, logit_sampling as ls\n"
        "x = np.sin(np.arange(4000, dtype=np.float32)).reshape(40, 100)\n"
        "print(ls.Sampler(ls.TopK(30))(x, seed=11, step=5).tolist())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    here: dict = {}
    exec(code.replace("print(", "here['ids'] = ("), {"here": here})
    assert runs == {f"{here['ids']}\n"}
