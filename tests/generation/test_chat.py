"""Conversations as prompts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from tests.generation.models import Bytes, writer

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "To be?"},
]
SOURCE = """\
{%- for message in messages %}
    {%- if message.role == "system" and not loop.first %}
        {{- raise_exception("the system speaks first") }}
    {%- endif %}
    {{- "<|" + message["role"] + "|>" + message["content"] | trim + "<|end|>" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ "<|assistant|>" }}{% endif %}
"""
TEXT = "<|system|>Be brief.<|end|><|user|>To be?<|end|><|assistant|>"


def checkpoint(folder: Path, **config: Any) -> Path:
    """Write the files of a checkpoint that a template needs: a tokenizer of words and markers."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<unk>", "Be", "brief", ".", "To", "be", "?", "not"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_template_and_its_errors() -> None:
    template = ls.ChatTemplate(SOURCE, {"bos_token": "<s>"})
    assert template.text(TALK) == TEXT
    assert template.text(TALK, add_generation_prompt=False) == TEXT.removesuffix("<|assistant|>")
    with pytest.raises(ValueError, match="refuses the messages: the system speaks first"):
        template.text(TALK[::-1])
    with pytest.raises(ValueError, match="no template of Jinja: "):
        ls.ChatTemplate("{% if %}")
    variables = ls.ChatTemplate("{{ bos_token }}{{ tools | tojson }}", {"bos_token": "<s>"})
    assert variables.text(TALK, tools=[{"name": "é"}]) == '<s>[{"name": "é"}]'
    # A template can read what it is given, and no more.
    with pytest.raises(ValueError, match="refuses the messages"):
        ls.ChatTemplate("{{ messages.__class__.__mro__ }}").text(TALK)
    with pytest.raises(ValueError, match="refuses the messages"):
        ls.ChatTemplate("{{ messages.append(1) }}").text(TALK)


@pytest.mark.parametrize("where", ["config", "named", "file"])
def test_the_template_of_a_checkpoint(tmp_path: Path, where: str) -> None:
    tokens = {"bos_token": {"content": "<s>"}, "eos_token": "<|end|>", "pad_token": None}
    if where == "file":
        folder = checkpoint(tmp_path, **tokens)
        (folder / "chat_template.jinja").write_text(SOURCE)
    else:
        named = [{"name": "default", "template": SOURCE}, {"name": "tools", "template": ""}]
        folder = checkpoint(
            tmp_path, chat_template=SOURCE if where == "config" else named, **tokens
        )
    template = ls.ChatTemplate.from_folder(folder)
    ids = [8, 1, 2, 3, 11, 9, 4, 5, 6, 11, 10]  # each marker is one token
    assert template.encode is not None and list(template.encode(TEXT)) == ids
    seen: list[list[int]] = []

    def model(ids: np.ndarray) -> np.ndarray:
        seen.append(ids[0].tolist())
        return 30.0 * np.eye(12)[np.where(ids == 10, 7, 11)]

    named_model = ls.as_model(model, name=str(folder), end_ids=11)
    for given in (template, None):
        result = ls.chat(named_model, TALK, template=given, max_new_tokens=5)
        assert (result.token_ids, result.finish_reasons) == ([[7, 11]], ["end_token"])
        assert seen[-2:] == [ids, [*ids, 7]]


def test_a_tokenizer_of_the_model_and_a_function() -> None:
    model = writer("yes.")
    options: dict[str, Any] = {"tokenizer": Bytes(), "sampler": ls.Greedy(), "stop": "."}
    result = ls.chat(model, TALK, template=SOURCE, **options)
    assert result.prompts == [list(TEXT.encode())]
    assert ls.chat(model, TALK, template=lambda m: m[-1]["content"], **options).prompts == [
        "To be?"
    ]

    class Started(Bytes):
        """Puts a start token before each text, as a template may do too."""

        def encode(self, text: str) -> list[int]:
            marked = text.removeprefix("<s>")
            return [0] * (1 + (marked != text)) + super().encode(marked)

    options["tokenizer"] = Started()
    for source in ("<s>a", "a"):
        assert ls.chat(model, TALK, template=source, **options).prompts == [[0, ord("a")]]


def test_what_is_refused(tmp_path: Path) -> None:
    for wrong in ([], "To be?", [{"content": "a"}], ["a"], None):
        with pytest.raises(ValueError, match=r"messages must be a list such as \[\{"):
            ls.chat(writer("a"), wrong, template=SOURCE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no chat template is known for model 'callable'"):
        ls.chat(writer("a"), TALK)
    with pytest.raises(ValueError, match="has no chat template: pass template="):
        ls.ChatTemplate.from_folder(checkpoint(tmp_path))
