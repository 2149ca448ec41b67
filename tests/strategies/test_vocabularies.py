"""Whose tokenizers a grammar takes, and what their tokens are in bytes."""

import re

import pytest

import logit_sampling as ls
from logit_sampling.models.as_model import as_model
from logit_sampling.models.tokenizers import as_tokenizer
from logit_sampling.strategies._vocabularies import keras_hub_ends
from tests.strategies.grammars import kept, write

llguidance = pytest.importorskip("llguidance")


def test_a_tokenizer_of_hugging_face():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: i for i, token in enumerate([*alphabet, "Ġt", "<|endoftext|>"])}
    tokenizer = Tokenizer(models.BPE(ids, [("Ġ", "t")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    grammar = ls.Grammar.regex(" té", tokenizer, end_id=257)
    first, last = "é".encode()
    assert kept(grammar, [], 258) == sorted([ids["Ġ"], ids["Ġt"]])
    after = kept(grammar, [ids["Ġt"]], 258)
    assert len(after) == 1 and len(alphabet[after[0]]) == 1 and first != last
    assert write(grammar, 0, 258) == " té"
    with pytest.raises(ValueError, match="pass `end_id`"):
        ls.Grammar.regex("a", tokenizer)


def test_a_tokenizer_of_keras_hub(tiny_tokenizer):
    grammar = ls.Grammar.regex("the? aéou.{0,2}", tiny_tokenizer)
    assert grammar.tokenizer.eos_token == tiny_tokenizer.end_token_id == 260
    for text in ("the aéou", "th aéou!?"):
        encoded = [int(i) for i in tiny_tokenizer(text)]
        assert grammar.tokenizer.decode_str(encoded) == text
        assert all(id in kept(grammar, encoded[:place], 261) for place, id in enumerate(encoded))
    the = tiny_tokenizer.token_to_id("the")
    assert the in kept(grammar, [], 261)
    assert 260 not in kept(grammar, [the], 261)
    texts = {write(grammar, seed, 261) for seed in range(8)}
    assert all(re.fullmatch("the? aéou.{0,2}", text) for text in texts) and len(texts) > 1


def test_a_model_or_what_has_a_tokenizer(tiny_gpt2, tiny_tokenizer):
    model = as_model(tiny_gpt2)
    wanted = ls.Grammar.regex("thé", tiny_tokenizer)
    for given in (
        model,
        model.tokenizer,
        tiny_gpt2,
        tiny_gpt2.preprocessor,
        as_tokenizer(tiny_tokenizer),
    ):
        assert ls.Grammar.regex("thé", given) == wanted
    options = {"sampler": ls.Sampler(wanted), "max_new_tokens": 9, "seed": 0}
    result = ls.generate(model, ["a", "b"], **options)
    assert (result.texts, result.finish_reasons) == (["thé"] * 2, ["end_token"] * 2)

    class Ending(type(model)):
        end_ids = (7, 260)  # what is said of the model goes before what its tokenizer says

    assert ls.Grammar.regex("a", Ending(tiny_gpt2)).end_ids == (7, 260)
    assert ls.Grammar.regex("a", model, end_id=8).end_ids == (8,)


def test_both_end_tokens_of_llama_3(tiny_tokenizer):
    class Llama3:
        end_token_id, end_token2_id = 260, 7

    assert keras_hub_ends(Llama3()) == (260, 7)
    assert keras_hub_ends(tiny_tokenizer) == (260,)


def test_a_tokenizer_of_transformers():
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate([*alphabet, "</s>"])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    grammar = ls.Grammar.regex("é+", fast)
    assert grammar.end_ids == (256,) and grammar == ls.Grammar.regex("é+", tokenizer, 256)
    assert re.fullmatch("é+", write(grammar, 0, 257))
    no_end = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    with pytest.raises(ValueError, match="does not tell its end token: pass `end_id`"):
        ls.Grammar.regex("é+", no_end)


def test_a_tokenizer_whose_bytes_cannot_be_told():
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    with pytest.raises(ValueError, match="cannot tell the bytes of the tokens of this tokenizer: "):
        ls.Grammar.regex("a", tokenizer, end_id=1)


def test_bytes_of_keras_hub():
    import keras_hub

    grammar = ls.Grammar.regex("é", keras_hub.tokenizers.ByteTokenizer(), end_id=0)
    first, last = "é".encode()
    assert (kept(grammar, [], 256), kept(grammar, [first], 256)) == ([first], [last])
    assert kept(grammar, [first, last], 256) == [0]


def test_pieces_of_sentence_piece():
    from logit_sampling.strategies._vocabularies import _of_sentence_piece

    pieces = ["\u2581the", "<0x0A>", "<0xe9>", "é", "<s>"]
    expected = [b" the", b"\n", b"\xe9", "é".encode(), b"<s>"]
    assert [_of_sentence_piece(piece) for piece in pieces] == expected
