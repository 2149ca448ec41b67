"""Prompts and tokenizers of any kind, and what is said of those that are none."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.generation.prompts import listed
from logit_sampling.models.function import CallableModel
from logit_sampling.models.tokenizers import AnyTokenizer, as_tokenizer
from tests.generation.models import Bytes, counter

TEXTS = {
    "a string": "né",
    "bytes": "né".encode(),
    "a bytearray": bytearray("né".encode()),
    "a string of NumPy": np.str_("né"),
    "bytes of NumPy": np.bytes_("né".encode()),
    "an array of one string": np.array("né"),
    "an array of objects": np.array(["né"], object),
    "a tensor of one string": tf.constant("né"),
    "a list": ["né"],
    "a tuple of bytes": ("né".encode(),),
    "an array": np.array(["né"]),
    "an array of bytes": np.array(["né".encode()]),
    "a tensor": tf.constant(["né"]),
    "a list of tensors": [tf.constant("né")],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_of_any_kind_is_a_prompt(kind: str) -> None:
    result = ls.generate(
        lambda ids: np.zeros((len(ids), 256)), TEXTS[kind], tokenizer=Bytes(), max_new_tokens=1,
        echo=True,
    )  # fmt: skip
    assert (result.prompts, result.prompt_ids) == (["né"], [list("né".encode())])
    assert type(result.prompts[0]) is str and result.texts[0].startswith("né")


IDS = {
    "lists": [[3, 4], [5]],
    "arrays": [np.array([3, 4], np.uint8), np.array([5], np.int64)],
    "an array of lists": np.array([[3, 4], [5]], object),
    "a ragged tensor": tf.ragged.constant([[3, 4], [5]]),
    "tensors": [tf.constant([3, 4]), tf.constant([5])],
    "lists of numbers of NumPy": [[np.int32(3), np.int32(4)], [np.int32(5)]],
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_any_kind_are_prompts(kind: str) -> None:
    result = ls.generate(counter, IDS[kind], max_new_tokens=2, sampler=ls.Greedy(), echo=True)
    assert result.prompts == result.prompt_ids == [[3, 4], [5]]
    assert result.token_ids == [[5, 6], [6, 7]]


@pytest.mark.parametrize("convert", [np.array, tf.constant])
def test_a_tensor_of_ids_has_a_prompt_a_row(convert: Any) -> None:
    result = ls.generate(counter, convert([[3, 4], [5, 6]]), max_new_tokens=1, sampler=ls.Greedy())
    assert (result.prompts, result.token_ids) == ([[3, 4], [5, 6]], [[5], [7]])
    with pytest.raises(ValueError, match="wrap a single one"):
        ls.generate(counter, convert([3, 4]))


def test_arrays_of_jax() -> None:
    array = pytest.importorskip("jax").numpy.array
    for given in ([array([3, 4]), [array(5), array(6)]], array([[3, 4], [5, 6]])):
        result = ls.generate(counter, given, max_new_tokens=1, sampler=ls.Greedy())
        assert (result.prompts, result.token_ids) == ([[3, 4], [5, 6]], [[5], [7]])


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    rows = [torch.tensor([3, 4]), torch.tensor([5])]
    for given in (rows, torch.nested.nested_tensor(rows, layout=torch.jagged)):
        result = ls.generate(counter, given, max_new_tokens=2, sampler=ls.Greedy())
        assert (result.prompts, result.token_ids) == ([[3, 4], [5]], [[5, 6], [6, 7]])


@tf.function
def traced(ids: Any) -> Any:
    return listed(ids)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([[2**31]], r"integers in \[0, 2147483648\), the token ids; got \[2147483648\]"),
        ([[1, 2**40, -(2**40)]], r"got \[1099511627776, -1099511627776\]"),
        ([[2**70]], "prompt 0 must be a string or a list of integers in"),
        ([np.array([2**63], np.uint64)], r"got \[9223372036854775808\]"),
        ([[0], [1, -1]], r"prompt 1 must be .* got \[-1\]"),
        ([["a", "b"]], r"prompt 0 must be .* got \['a', 'b'\]"),
        ([tf.constant(["a"])], "prompt 0 must be a string or a list of integers"),
        (tf.constant(3), "prompts must be a string or a list of prompts, got <tf.Tensor"),
        ({"token_ids": 1, "padding_mask": 2}, "got a dict of token_ids, padding_mask: pass its"),
        ([{"input_ids": [1]}], "prompt 0 .* got a dict of input_ids: pass its token ids, without"),
        ({"a"}, "prompts must be a string or a list of prompts, got {'a'}"),
        (b"\xff", r"text must be UTF-8, got b'\\xff'"),
        ([[True, False]], "prompt 0 must be a string or a list of integers"),
    ],
)
def test_what_is_no_prompt_is_told_in_a_line(prompts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ls.generate(counter, prompts, max_new_tokens=1)
    assert "\n" not in str(caught.value)


def test_a_tensor_of_a_graph_is_no_prompt() -> None:
    with pytest.raises(ValueError, match="prompts must be a string or a list of prompts, got"):
        traced(tf.constant([[1]]))


def test_an_empty_prompt_begins_with_the_start_token(tiny_gpt2: Any) -> None:
    options: dict[str, Any] = {"max_new_tokens": 5, "seed": 2, "echo": True}
    result = ls.generate(tiny_gpt2, ["", "a"], **options)
    assert (result.prompts, result.prompt_ids[:1]) == (["", "a"], [[260]])
    assert result.token_ids[0] == ls.generate(tiny_gpt2, [[260]], **options).token_ids[0]
    options["tokenizer"] = tiny_gpt2.preprocessor.tokenizer  # adds none
    with pytest.raises(ValueError, match=r"prompt 1 is empty, and model '.*' has no start token"):
        ls.generate(tiny_gpt2, ["a", ""], **options)


def test_a_text_without_tokens_and_tokens_that_the_model_lacks() -> None:
    class Words:
        decode = staticmethod(str)
        encode = staticmethod(lambda text: [len(word) for word in text.split()])

    model = CallableModel(counter)
    model.vocab_size = 10
    with pytest.raises(ValueError, match="prompt 0 has no token: the tokenizer finds none in ' '"):
        ls.generate(model, " ", tokenizer=Words())
    with pytest.raises(
        ValueError, match=r"prompt 1: the tokenizer gives ids that model 'callable'"
    ):
        ls.generate(model, ["a", "a bcdefghijkl"], tokenizer=Words())


def test_a_tokenizer_of_tokenizers_gives_an_encoding() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(
        models.WordPiece({"[UNK]": 0, "a": 1, "b": 2, "##c": 3}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    options: dict[str, Any] = {"max_new_tokens": 2, "sampler": ls.Greedy(), "echo": True}
    result = ls.generate(
        lambda ids: 9 * np.eye(4)[(ids[:, -1] + 1) % 4], "a", tokenizer=tokenizer, **options
    )
    assert (result.prompt_ids, result.texts) == ([[1]], ["a bc"])
    assert ls.score(
        lambda ids: np.zeros((*ids.shape, 4)), "a bc", tokenizer=tokenizer
    ).token_ids == [[1, 2, 3]]


def test_a_tokenizer_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, processors

    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "b": 2}, unk_token="a"))
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")
    result = ls.generate(
        lambda ids: 9 * np.eye(3)[[2] * len(ids)], ["", "a"], tokenizer=fast, echo=True,
        sampler=ls.Greedy(), max_new_tokens=1,
    )  # fmt: skip
    assert (result.prompt_ids, result.token_ids) == ([[0], [0, 1]], [[2], [2]])


def test_tokenizers_of_keras_hub(tiny_tokenizer: Any) -> None:
    import keras_hub

    for tokenizer, ids in (
        (tiny_tokenizer, [int(i) for i in tiny_tokenizer("the é")]),
        (keras_hub.tokenizers.ByteTokenizer(), list("the é".encode())),
    ):
        model = CallableModel(lambda given, i=ids[0]: 9 * np.eye(261)[[i] * len(given)])
        result = ls.generate(
            model, "the é", tokenizer=tokenizer, sampler=ls.Greedy(), max_new_tokens=2, echo=True
        )
        assert result.prompt_ids == [ids]
        assert result.texts == ["the é" + 2 * ("the" if len(ids) < 6 else "t")]


@pytest.mark.parametrize("given", ["gpt2", object(), lambda text: [1], Bytes.encode])
def test_what_is_no_tokenizer(given: Any) -> None:
    message = r"needs encode\(text\) and decode\(ids\), or tokenize\(text\) and detokenize\(ids\)"
    for call in (ls.generate, ls.score):
        with pytest.raises(ValueError, match=message):
            call(counter, [[1, 2]], tokenizer=given)
    with pytest.raises(ValueError, match="has no tokenizer: give prompts as lists"):
        ls.generate(counter, "a")


def test_what_a_tokenizer_must_give() -> None:
    class Odd:
        encode = staticmethod(lambda text: {"a": {"input_ids": [1, 2]}, "b": [[1, 2]]}[text])
        decode = staticmethod(lambda ids: {1: "é".encode(), 2: np.array("x"), 3: [1]}[ids[0]])

    odd = as_tokenizer(Odd)
    assert isinstance(odd, AnyTokenizer) and as_tokenizer(odd) is odd
    assert odd.encode("a") == [1, 2]
    assert [odd.decode([1]), odd.decode([2]), odd.decode([])] == ["é", "x", ""]
    with pytest.raises(ValueError, match="must give a list of token ids for a text; for 'b' it"):
        odd.encode("b")
    with pytest.raises(ValueError, match=r"must decode to a string, got \[1\]"):
        odd.decode([3])
