import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.cli import main
from logit_sampling.cli.options import chosen, complete
from logit_sampling.plotting.visible import unescaped


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[str, str, int]:
    """Run the command; return stdout, stderr and the exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["generate", *arguments])
    out, err = capsys.readouterr()
    return out, err, int(stop.value.code or 0)


@pytest.fixture(scope="module")
def model(tiny_preset: Path) -> list[str]:
    return ["--model", str(tiny_preset), "--max-new-tokens", "20"]


def test_weights_of_another_dtype(
    capsys: pytest.CaptureFixture, model: list[str], tiny_preset: Path
) -> None:
    half = ls.load_model(tiny_preset, dtype="bfloat16")
    text = ls.generate(half, "the", max_new_tokens=20, seed=7).texts[0]
    assert run(capsys, "the", *model, "--dtype", "bfloat16", "--seed", "7")[0] == f"the{text}\n"
    out, err, status = run(capsys, "the", *model, "--dtype", "int8")
    assert (out, status) == ("", 2)
    assert "dtype must be float32" in err


def test_one_text_is_the_prompt_and_its_continuation(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    options = ["--temperature", "0.8", "--top-k", "50", "--top-p", "0.95", "--min-p", "0.01"]
    sampler = ls.Sampler(ls.Temperature(0.8), ls.TopK(50), ls.TopP(0.95), ls.MinP(0.01))
    text = ls.generate(tiny_gpt2, "the", sampler=sampler, max_new_tokens=20, seed=7).texts[0]
    out, err, status = run(capsys, "the", *model, *options, "--seed", "7")
    assert (out, status) == (f"the{text}\n", 0)
    assert err == ""


def test_several_texts_have_headings(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    result = ls.generate(tiny_gpt2, ["the", "a"], max_new_tokens=20, seed=3, n=2)
    texts, seeds = result.texts, result.seeds
    out, _, _ = run(capsys, "the", "a", *model, "--seed", "3", "--n", "2")
    assert out == (
        f"--- prompt 0, sample 0, seed 3 ---\nthe{texts[0]}\n"
        f"--- prompt 0, sample 1, seed {seeds[1]} ---\nthe{texts[1]}\n"
        f"--- prompt 1, sample 0, seed {seeds[2]} ---\na{texts[2]}\n"
        f"--- prompt 1, sample 1, seed {seeds[3]} ---\na{texts[3]}\n"
    )


def test_json_has_the_result_and_what_made_it(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    expected = ls.generate(tiny_gpt2, ["the"], sampler=ls.Greedy(), max_new_tokens=20, seed=1)
    out, err, status = run(capsys, "the", *model, "--greedy", "--seed", "1", "--json")
    data = json.loads(out)
    assert (data.pop("model"), data.pop("sampler")) == (model[1], "Greedy()")
    assert data.pop("seconds") > 0
    wanted = expected.to_dict()
    for name in ("log_probs", "sampler_log_probs"):
        assert data.pop(name)[0] == pytest.approx(wanted.pop(name)[0], abs=1e-5)
    del wanted["seconds"]
    decode = ls.as_model(tiny_gpt2).tokenizer.decode  # type: ignore[union-attr]
    assert data.pop("tokens") == [[decode([i]) for i in expected.token_ids[0]]]
    assert data == wanted
    assert (err, status) == ("", 0)


def test_without_a_seed_texts_differ(capsys: pytest.CaptureFixture, model: list[str]) -> None:
    assert run(capsys, "the", *model)[0] != run(capsys, "the", *model)[0]


def test_options_that_end_a_text(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    plain = ls.generate(tiny_gpt2, "the", max_new_tokens=20, seed=7).texts[0]
    stop, other = plain[4:6], "no such text"
    out, _, status = run(capsys, "the", *model, "--seed", "7", "--stop", stop, "--stop", other)
    assert (out, status) == (f"the{plain[: plain.index(stop)]}\n", 0)
    late = ["--min-new-tokens", "19", "--stop", stop, "--deadline", "1000"]
    longer = ls.generate(tiny_gpt2, "the", max_new_tokens=20, min_new_tokens=19, seed=7).texts[0]
    assert stop in longer  # too early
    out, _, _ = run(capsys, "the", *model, "--seed", "7", *late)
    assert out == f"the{longer}\n"
    out, _, _ = run(capsys, "the", *model, "--seed", "7", "--deadline", "1e-9")
    assert plain.startswith(out.removeprefix("the").removesuffix("\n").rstrip("\ufffd"))
    assert len(out) < len(plain)


def test_a_long_text_slides(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    sampler = ls.Greedy()
    options = ["--greedy", "--overflow", "slide", "--max-new-tokens", "70"]
    text = ls.generate(tiny_gpt2, "the", sampler=sampler, max_new_tokens=70, overflow="slide")
    out, _, status = run(capsys, "the", *model, *options)
    assert (out, status) == (f"the{text.texts[0]}\n", 0)


def test_json_tells_of_prompts_and_alternatives(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    expected = ls.generate(
        tiny_gpt2, ["the"], max_new_tokens=20, seed=1, echo=True, top_log_probs=2, stop="zz"
    )
    options = ["--seed", "1", "--json", "--echo", "--top-log-probs", "2", "--stop", "zz"]
    data = json.loads(run(capsys, "the", *model, *options)[0])
    wanted = json.loads(json.dumps(expected.to_dict()))
    assert set(wanted) == set(data) - {"model", "sampler", "tokens"}
    assert data["prompt_log_probs"][0][0] is None
    assert data["prompt_log_probs"][0][1:] == pytest.approx(wanted["prompt_log_probs"][0][1:])
    assert data["stop_strings"] == [None]
    ids = [[pair[0] for pair in top] for top in data["top_log_probs"][0]]
    assert ids == [[pair[0] for pair in top] for top in wanted["top_log_probs"][0]]
    assert data["texts"] == wanted["texts"]


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_prints_what_there_is(
    capsys: pytest.CaptureFixture,
    model: list[str],
    tiny_gpt2: Any,
    monkeypatch: pytest.MonkeyPatch,
    as_json: bool,
) -> None:

    module = import_module("logit_sampling.generation.writing")
    decode = module.decode  # type: ignore[attr-defined]

    def interrupted(*arguments: Any) -> Any:
        decoding, output, told = decode(*arguments), None, 0
        while told < 12:  # six tokens of each of two rows
            asked = decoding.send(output)
            output = yield asked
            told += isinstance(asked, int)
        raise KeyboardInterrupt

    result = ls.generate(tiny_gpt2, ["the", "a"], max_new_tokens=6, seed=3)
    texts, seeds = result.texts, result.seeds
    monkeypatch.setattr(module, "decode", interrupted)
    options = ["--json"] if as_json else []
    out, err, status = run(capsys, "the", "a", *model, "--seed", "3", *options)
    assert (err, status) == ("", 130)
    if as_json:
        data = json.loads(out)
        assert (data["texts"], data["finish_reasons"]) == (texts, ["interrupted"] * 2)
    else:
        assert out == (
            f"--- prompt 0, sample 0, seed 3 ---\nthe{texts[0]}\n"
            f"--- prompt 1, sample 0, seed {seeds[1]} ---\na{texts[1]}\n"
        )


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_does_not_obey_what_a_model_writes(
    capsys: pytest.CaptureFixture, model: list[str], monkeypatch: Any, terminal: bool
) -> None:
    as_it_is = ls.generate  # which is not looked up before somebody asks

    def generate(*args: Any, on_text: Any, **options: Any) -> Any:
        on_text(0, "a\x1b[2J\n\tb")
        result = as_it_is(lambda ids: np.zeros((2, 3)), [[0], [1]], max_new_tokens=1)
        return replace(result, texts=["a\x1b[2J\n\tb", "\x9bc"])

    monkeypatch.setattr(import_module("logit_sampling.generation.generate"), "generate", generate)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "xterm")

    def written() -> tuple[str, str]:
        out, _, _ = run(capsys, "x\x07", "y", *model, "--seed", "1")
        first, second = [line for line in out.splitlines() if not line.startswith("---")][::2]
        return first, second

    first, second = written()
    if terminal:
        bold = "\x1b[1m{}\x1b[0m".format
        assert (first, second) == (bold(r"x\x07") + r"a\x1b[2J", bold("y") + r"\x9bc")
        monkeypatch.setenv("TERM", "dumb")
        assert written() == (r"x\x07a\x1b[2J", r"y\x9bc")
    else:
        assert (first, second) == ("x\x07a\x1b[2J", "y\x9bc")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["", "--model", "shakespeare"], "prompt 0 is empty, and model 'shakespeare' has no"),
        (["a" * 99], "prompt 0 has 100 tokens, but the context of model"),
        (["a" * 30], "prompt 0 has 31 tokens and --max-new-tokens is 20, together more than"),
        (
            ["a" * 30],
            "ask for at most 17 new tokens or shorten the prompt; --overflow slide goes on beyond",
        ),
        (["a" * 30], "--overflow slide goes on beyond the context\n"),
        (["a", "--model", "no-such-model"], "unknown model 'no-such-model': give a shipped model"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture, model: list[str], arguments: list[str], message: str
) -> None:
    out, err, status = run(capsys, *model, *arguments)
    assert (out, status) == ("", 2)
    assert err.startswith("logit-sampling: ")
    assert err.count("\n") == 1
    assert message in err


def test_damaged_folder_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "tokenizer.json").write_text("{}")
    out, err, status = run(capsys, "a", "--model", str(tmp_path))
    assert (out, status, err.count("\n")) == ("", 2, 1)
    assert f"{tmp_path}/config.json is damaged" in err


def test_options_left_out_are_off() -> None:
    assert chosen(None, temperature=None).sampler == ls.Sampler()
    assert chosen(None, True, top_k=None).sampler == ls.Greedy()
    assert chosen(None, temperature=1.0, top_p=1.0).sampler == ls.Sampler(
        ls.Temperature(1.0), ls.TopP(1.0)
    )


def test_tensorflow_is_silent_unless_asked(tiny_preset: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "logit_sampling", "generate", "the", "--greedy"]
    command += ["--model", str(tiny_preset), "--max-new-tokens", "4"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(ls.__file__).parents[1])

    def stderr(**variables: str) -> str:
        result = subprocess.run(
            command, env=environment | variables, cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 0
        assert result.stdout.startswith("the")
        return result.stderr

    assert stderr() == ""
    assert stderr(TF_CPP_MIN_LOG_LEVEL="0") != ""


@pytest.mark.parametrize("as_json", [False, True])
def test_rows_that_fail_are_told_and_the_others_printed(
    capsys: pytest.CaptureFixture, model: list[str], monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    import numpy as np

    from logit_sampling.models.keras_hub import LanguageModel

    prefill = LanguageModel.prefill

    def broken(self: Any, prompts: Any) -> Any:
        output, cache = prefill(self, prompts)
        output.logits[[len(prompt) > 3 for prompt in prompts]] = np.nan
        return output, cache

    monkeypatch.setattr(LanguageModel, "prefill", broken)
    options = ["--seed", "3", *(["--json"] if as_json else [])]
    out, err, status = run(capsys, "a", "a long prompt", *model, *options)
    assert status == 1
    assert "logit-sampling: row 1, new token 0: logits hold NaN in this row" in err
    if as_json:
        data = json.loads(out)
        assert data["finish_reasons"][1] == "error" and data["errors"][0] is None
        assert len(data["token_ids"][0]) > 0 == len(data["token_ids"][1])
    else:
        first, second = out.split("--- prompt 1, sample 0")
        assert len(first.splitlines()[1]) > 1 and second.endswith("---\na long prompt\n")


def test_a_sampler_is_written_in_one_line(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    sampler = ls.Sampler(ls.RepetitionPenalty(1.2), ls.Temperature(0.8), ls.Typical(0.9))
    text = ls.generate(tiny_gpt2, "the", sampler=sampler, max_new_tokens=20, seed=7).texts[0]
    line = "temperature=0.8 typical_p=0.9 repetition_penalty=1.2"
    assert run(capsys, "the", *model, "--sampler", line, "--seed", "7")[0] == f"the{text}\n"


def test_a_search_is_written_in_one_line(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    for line, search in (
        ("beam num_beams=2", ls.BeamSearch(2)),
        ("contrastive k=3 alpha=0.5", ls.ContrastiveSearch(3, 0.5)),
    ):
        text = ls.generate(tiny_gpt2, "the", search=search, max_new_tokens=20).texts[0]
        assert run(capsys, "the", *model, "--sampler", line)[0] == f"the{text}\n"
        out, _, _ = run(capsys, "the", *model, "--sampler", line, "--json")
        assert json.loads(out)["sampler"] == repr(search)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sampler", "top_k=5", "--top-p", "0.9"], "write what --top-p says into it"),
        (["--sampler", "greedy", "--greedy"], "write what --greedy says into it"),
        (["--sampler", "top_q=5"], "sampler 'top_q=5': unknown parameter `top_q`"),
        (["--sampler", "top_p=3"], "in (0, 1]; got 3"),
        (["--top-k", "0"], "--top-k needs to be a finite integer in [1, inf); got 0"),
        (["--top-p", "1.2"], "--top-p needs to be a finite number in (0, 1]; got 1.2"),
        (["--temperature", "-1"], "--temperature needs to be a finite number in [0, inf); got -1"),
        (["--min-p", "2"], "--min-p needs to be a finite number in [0, 1]; got 2"),
        (["--greedy", "--top-k", "5"], "--greedy takes the likeliest token, so --top-k would"),
        (["--echo"], "--top-log-probs and --echo add to what --json prints: add --json"),
        (["--stop", ""], "--stop is an empty string"),
        (["--stop-regex", "a*"], "--stop-regex 'a*' matches an empty text"),
        (["--stop-regex", "("], "--stop-regex '(': missing )"),
        (["--overflow", "cut"], "Invalid value for '--overflow': 'cut' is not one of 'error', "),
        (["--deadline", "0"], "--deadline must be seconds above 0, got 0.0"),
        (["--max-new-tokens", "0"], "Invalid value for '--max-new-tokens': Input should be"),
        (["--max-new-tokens", "3", "--min-new-tokens", "4"], "--min-new-tokens is 4, more than --"),
        (["--n", "0"], "Invalid value for '--n' / '-n': Input should be greater"),
        (["--top-kk", "0"], "No such option: --top-kk"),
        (["- item"], "a text that begins with a dash goes behind -- and all options (`logit-samp"),
    ],
)
def test_what_is_wrong_with_options_is_told_before_anything_is_loaded(
    capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    out, err, status = run(capsys, "the", "--model", "/nowhere", *options)
    assert (out, status, err.count("\n")) == ("", 2, 1)
    assert err.startswith("logit-sampling: ")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        (["generate", "a", "--n", "0"], set()),
        (["generate", "a", "--deadline", "0"], set()),
        (["generate", "a", "--stop", ""], set()),
        (["score", "a", "--overflow", "x"], set()),
        (["explain", "a", "--top", "0"], set()),
        (["generate", "a", "--top-k", "0"], {"numpy"}),
        (["generate", "a", "--sampler", "top_q=2"], {"numpy"}),
        (["samplers", "TopQ"], {"numpy"}),
    ],
)
def test_little_is_imported_to_tell_what_is_wrong(arguments: list[str], imported: set[str]) -> None:
    code = (
        "import sys\n"
        "from logit_sampling.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as stop:\n    assert stop.code == 2\n"
        "heavy = {'numpy', 'rich', 'tensorflow', 'keras', 'logit_sampling.generation.call',"
        " 'logit_sampling.training', 'logit_sampling.decoding.beam'}\n"
        "print(*heavy & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout.split()) == (0, sorted(imported)), result.stderr


def test_as_many_tokens_as_fit_unless_somebody_says_how_many(
    capsys: pytest.CaptureFixture, tiny_preset: Path, tiny_gpt2: Any
) -> None:
    options = ["--model", str(tiny_preset), "--greedy"]
    prompt, sampler = "a" * 30, ls.Greedy()
    text = ls.generate(tiny_gpt2, prompt, sampler=sampler, max_new_tokens=17).texts[0]
    out, err, status = run(capsys, prompt, "b", *options)
    assert status == 0
    assert f"{prompt}{text}\n" in out
    assert err == (
        "logit-sampling: writing 17 tokens, not 100: more do not fit the context of model "
        f"'{tiny_preset}', 48\n"
    )
    slid = ls.generate(
        tiny_gpt2, prompt, sampler=sampler, max_new_tokens=100, overflow="slide"
    ).texts[0]
    out, err, _ = run(capsys, prompt, *options, "--overflow", "slide")
    assert (out, err) == (f"{prompt}{slid}\n", "")
    assert "writing 1 token, not" in run(capsys, "a" * 46, *options)[1]
    _, err, status = run(capsys, "a" * 47, *options)  # no room, which is no matter of the default
    assert status == 2
    assert "prompt 0 has 48 tokens, but the context of model" in err


def test_completion_of_what_is_written() -> None:
    assert {"top_k=", "top_p=", "top_n_sigma="} <= set(complete("top_"))
    assert all(ending.startswith("top_") for ending in complete("top_"))
    assert "top_k=5 greedy" in set(complete("top_k=5 gr"))
    assert list(complete("ord")) == ["order="]


def test_a_text_that_was_drawn_without_a_seed_tells_it(
    capsys: pytest.CaptureFixture, model: list[str]
) -> None:
    out, err, status = run(capsys, "the", *model)
    assert status == 0
    seed = err.removeprefix("logit-sampling: drawn with --seed ").strip()
    assert run(capsys, "the", *model, "--seed", seed) == (out, "", 0)
    for options in (["--greedy"], ["--sampler", "beam"], ["--json"]):
        assert "drawn with" not in run(capsys, "the", *model, *options)[1]


def test_a_prompt_from_standard_input(
    capsys: pytest.CaptureFixture, model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the\n"))
    out, _, _ = run(capsys, "-", *model, "--seed", "7")
    assert out == run(capsys, "the", *model, "--seed", "7")[0]


def test_a_stop_string_of_a_shell() -> None:
    assert unescaped(r"\n\n") == "\n\n"
    assert unescaped(r"a\tb\\n\q") == "a\tb\\n\\q"


def test_texts_follow_a_schema_or_a_pattern(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    pytest.importorskip("llguidance")
    schema, file = '{"enum": ["yes", "no"]}', tmp_path / "schema.json"
    file.write_text(schema)
    for given in (schema, str(file)):
        out, _, status = run(capsys, "ROMEO:", "--json-schema", given, "--seed", "1")
        assert status == 0 and out in ('ROMEO:"yes"\n', 'ROMEO:"no"\n')
    short = ["--max-new-tokens", "2", "--seed", "1"]
    out, err, status = run(capsys, "ROMEO:", "--json-schema", schema, *short)
    assert status == 0 and "cut off before it is whole: more --max-new-tokens" in err
    out, _, _ = run(capsys, "ROMEO:", "--regex", "(yes|no)", "--seed", "1")
    assert out in ("ROMEO:yes\n", "ROMEO:no\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--json-schema", "{}", "--regex", "a"], "leave one of them out"),
        (["--json-schema", '{"a"'], "--json-schema is no JSON"),
        (["--json-schema", "nowhere.json"], "nowhere.json is neither a schema nor a file"),
        (["--json-schema", '{"type": "nonsense"}'], "no valid grammar"),
    ],
)
def test_a_schema_that_cannot_be_read(
    capsys: pytest.CaptureFixture, options: list[str], says: str
) -> None:
    out, err, status = run(capsys, "ROMEO:", *options)
    assert (out, status) == ("", 2) and says in err
