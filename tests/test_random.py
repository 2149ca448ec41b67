import subprocess
import sys

import numpy as np
import pytest

from logit_sampling.random import row_seeds, threefry
from tests import oracle

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

    from logit_sampling.engines.keras_arrays import left_shift, right_shift

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
    np.testing.assert_array_equal(row_seeds(7, 3), [[7, 0], [8, 0], [9, 0]])
    np.testing.assert_array_equal(row_seeds([2**32 + 5, -1], 2), [[5, 1], [2**32 - 1] * 2])
    np.testing.assert_array_equal(row_seeds(2**32 - 1, 2), [[2**32 - 1, 0], [0, 1]])
    fresh = row_seeds(None, 4)
    assert fresh.shape == (4, 2) and len({tuple(row) for row in fresh.tolist()}) == 4


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
