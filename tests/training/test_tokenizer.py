import numpy as np
import pytest

from logit_sampling.training import learn_tokenizer

STRANGE = "\r\n\t  ~ 你好 🙂 \x00 'Twas  \n\n \n end "


@pytest.fixture(scope="module")
def tokenizer(text):
    return learn_tokenizer(text, 300)


def test_the_vocabulary_is_256_bytes_then_merges_then_the_end_token(tokenizer):
    tokens = sorted(tokenizer.vocabulary, key=tokenizer.vocabulary.get)
    assert list(map(tokenizer.vocabulary.get, tokens)) == list(range(300))
    assert all(len(token) == 1 for token in tokens[:256])
    assert tokens[256:299] == [merge.replace(" ", "") for merge in tokenizer.merges]
    assert tokens[299] == "<|endoftext|>"
    assert tokenizer.end_token_id == 299


def test_any_text_survives_the_round_trip(tokenizer, text):
    assert tokenizer.detokenize(tokenizer(text + STRANGE)) == text + STRANGE


def test_the_ids_are_those_of_the_tokenizers_library(tokenizer, text):
    from tokenizers import Tokenizer, models, pre_tokenizers

    merges = [tuple(merge.split(" ")) for merge in tokenizer.merges]
    bpe = Tokenizer(models.BPE(vocab=tokenizer.vocabulary, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    np.testing.assert_array_equal(tokenizer(text + STRANGE), bpe.encode(text + STRANGE).ids)


def test_frequent_pairs_merge_first():
    # Pieces: "aab" four times, of which " aab" three times; "ab" is in each and "aa" as well,
    # and the lower pair of ids wins a tie.
    tokenizer = learn_tokenizer("aab aab aab aab", 259)
    assert tokenizer.merges == ["a a", "aa b"]
    assert list(tokenizer("aab")) == [tokenizer.vocabulary["aab"]]


def test_merges_stay_within_words():
    merges = learn_tokenizer("of the of the of the ", 300).merges
    assert max(merge.count("Ġ") for merge in merges) == 1


def test_a_short_text_gives_a_smaller_vocabulary():
    assert learn_tokenizer("ab", 300).vocabulary_size() == 258


def test_the_end_token_separates_texts_and_is_one_token():
    tokenizer = learn_tokenizer("ab<|endoftext|>ab<|endoftext|>ab", 300)
    assert tokenizer.merges == ["a b"]
    assert list(tokenizer("ab<|endoftext|>")) == [256, 257]


@pytest.mark.parametrize("text", ["", "1 2 3 4 5 6 7 8 9"])
def test_a_text_with_nothing_to_merge_is_refused(text):
    with pytest.raises(ValueError, match="no two characters to merge"):
        learn_tokenizer(text, 300)
