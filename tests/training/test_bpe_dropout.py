from dataclasses import replace
from random import Random

import numpy as np
import pytest

from logit_sampling.training import bpe_dropout, learn_tokenizer
from logit_sampling.training.bpe_dropout import LONGEST, BPEDropout
from logit_sampling.training.data import DROPPED, batches, steps_per_epoch


@pytest.fixture(scope="module")
def tokenizer(text):
    return learn_tokenizer(text, 300)


def test_without_dropout_each_piece_is_cut_as_the_tokenizer_does(tokenizer):
    for piece in (" crown", "über", "true", " the", "599", ":\n"):
        cut = BPEDropout(piece, tokenizer)(0.0, seed=1)
        np.testing.assert_array_equal(cut, tokenizer(piece))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_whatever_is_left_out_the_text_is_the_same(tokenizer, text, rate):
    text = f"{text[:2000]}<|endoftext|>{text[2000:4000]}"
    cut = BPEDropout(text, tokenizer)(rate, seed=3)
    assert cut.dtype == np.int32
    assert tokenizer.detokenize(cut.tolist()) == text
    assert (cut == tokenizer.token_to_id("<|endoftext|>")).sum() == 1


def test_a_merge_is_left_out_with_its_probability():
    """Of "ab", the one merge that there is: each occurrence draws anew, up to `VARIANTS`."""
    tokenizer = learn_tokenizer("ab", 300)
    whole = tokenizer.token_to_id("ab")
    cut = BPEDropout("ab", tokenizer)
    kept = np.mean([cut(0.3, seed)[0] == whole for seed in range(2000)])
    assert kept == pytest.approx(0.7, abs=0.04)  # four standard deviations


def test_two_merges_are_made_as_the_paper_says():
    """Of "abc" with the merges ab, then abc: both stay with (1 - p)^2, at each turn anew."""
    tokenizer = learn_tokenizer("ab\nab\nabc\nabc", 300)
    a, b, c, ab, abc = (tokenizer.token_to_id(t) for t in ("a", "b", "c", "ab", "abc"))
    cut = BPEDropout("abc", tokenizer)
    found = [tuple(cut(0.4, seed).tolist()) for seed in range(2000)]
    shares = {way: found.count(way) / 2000 for way in set(found)}
    expected = {(abc,): 0.36, (ab, c): 0.24, (a, b, c): 0.4}
    assert shares.keys() == expected.keys()
    for way, share in expected.items():
        assert shares[way] == pytest.approx(share, abs=0.045)


def test_it_is_a_function_of_its_seed_and_more_is_left_out_at_a_higher_rate(tokenizer, text):
    cut = BPEDropout(text, tokenizer)
    np.testing.assert_array_equal(cut(0.1, 5), cut(0.1, 5))
    assert not np.array_equal(cut(0.1, 5), cut(0.1, 6))
    sizes = [cut(rate, 5).size for rate in (0.0, 0.1, 0.3)]
    assert sizes == sorted(set(sizes))


def test_letters_without_a_space_are_cut_in_parts(monkeypatch):
    """A cut takes a number for each merge that could be made, and again after each merge."""
    letters = "".join(np.random.default_rng(0).choice([*"ACGT"], 4000))
    tokenizer = learn_tokenizer(letters, 300)
    drawn = 0

    class Counted(Random):
        def random(self):
            nonlocal drawn
            drawn += 1
            return super().random()

    monkeypatch.setattr(bpe_dropout, "Random", Counted)
    sizes = {}
    for size in (1000, 4000):
        drawn = 0
        cut = BPEDropout(letters[:size], tokenizer)(0.1, seed=3)
        assert tokenizer.detokenize(cut.tolist()) == letters[:size]
        sizes[size] = drawn
    assert sizes[4000] < 5 * sizes[1000]
    # A piece that is short enough is whole.
    short = letters[:LONGEST]
    np.testing.assert_array_equal(BPEDropout(short, tokenizer)(0, 1), tokenizer(short))


def test_most_windows_are_cut_anew_until_the_last_quarter_of_the_epochs(tokenizer, text, recipe):
    recipe = replace(recipe, bpe_dropout=0.5)  # no window keeps all its merges
    ids = np.asarray(tokenizer(text), np.int32)
    steps = steps_per_epoch(ids, recipe)
    places = {ids[i : i + 33].tobytes() for i in range(ids.size - 32)}
    stream = batches(ids, recipe, 0, BPEDropout(text, tokenizer))
    shares = []
    for _ in range(recipe.epochs):
        windows = []
        for _ in range(steps):
            x, y = next(stream)
            windows += [*np.concatenate([x["token_ids"], y[:, -1:]], axis=1)]
        assert len(windows) == steps * recipe.batch_size
        shares.append(np.mean([w.astype(np.int32).tobytes() in places for w in windows]))
    assert shares == pytest.approx([1 - DROPPED, 1 - DROPPED, 1.0], abs=0.005)  # whole windows
