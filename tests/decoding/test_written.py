"""One line of text is the chain, or the search, that it says."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.decoding.written import read


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("temperature=0.8 top_k=50", ls.Sampler(ls.Temperature(0.8), ls.TopK(50))),
        ("top_k=50,temperature=0.8", ls.Sampler(ls.Temperature(0.8), ls.TopK(50))),
        ("  top-p = 0.9 ,top_k= 5 ", ls.Sampler(ls.TopK(5), ls.TopP(0.9))),
        ("top-p=0.9", ls.Sampler(ls.TopP(0.9))),
        ("order=llama.cpp temp=0.7 top_p=.95", ls.Sampler(ls.TopP(0.95), ls.Temperature(0.7))),
        ("order=hf defaults=true do_sample=true", ls.Sampler(ls.TopK(50))),
        ("greedy", ls.Greedy()),
        ("greedy repetition_penalty=1.5", ls.Greedy(ls.RepetitionPenalty(1.5))),
        ("presence_penalty=2 greedy", ls.Greedy(ls.PresencePenalty(2))),
        ("sample", ls.Sampler()),
        ("top_k=0 top_p=1", ls.Sampler()),
        ("top_k=none min_p=0.1", ls.Sampler(ls.MinP(0.1))),
        ('logit_bias={"5": -1.5, "7": -Infinity}', ls.Sampler(ls.LogitBias({5: -1.5, 7: -np.inf}))),
        ("suppress_tokens=[1, 2] top_k=3", ls.Sampler(ls.SuppressTokens([1, 2]), ls.TopK(3))),
        ("temperature=[0.5, 1.5]", ls.Sampler(ls.Temperature([0.5, 1.5]))),
    ],
)
def test_chains(text: str, made: ls.Sampler) -> None:
    parsed = ls.Sampler.parse(text)
    assert type(parsed) is type(made)
    assert parsed.transforms == made.transforms
    assert read(text).name == " ".join(text.split())


def test_names() -> None:
    for text in ("mine: top_k=5", " mine :top_k=5", "mine:top_k=5"):
        assert read(text).name == "mine"
        assert read(text).sampler.transforms == (ls.TopK(5),)
    assert read("top-k, hot: top_k=5 temperature=2").name == "top-k, hot"
    assert read('logit_bias={"5": 1.0}').name == 'logit_bias={"5": 1.0}'


def test_searches() -> None:
    written = read("b: beam num_beams=3 length_penalty=0.5 early_stopping=true")
    assert written.search == ls.BeamSearch(3, length_penalty=0.5, early_stopping=True)
    assert written.name == "b"
    assert read("contrastive k=4, alpha=0.2").search == ls.ContrastiveSearch(4, 0.2)
    with pytest.raises(ValueError, match=r"is a search and no chain: give `generate`"):
        ls.Sampler.parse("beam num_beams=3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing is written"),
        ("mine:", "nothing is written"),
        ("top_k", "'top_k' has no value; write settings as name=value"),
        ("gredy", "did you mean 'greedy'"),
        ("greedy beam", "'greedy' and 'beam' are words without a value"),
        ("temprature=3", "did you mean `temperature`"),
        ("top_k=", "`top_k` has no value"),
        ("top_k= top_p=0.5", "`top_k` has no value"),
        ("=3", "a name is missing before '=3'"),
        ("top_k=1 top_k=2", "`top_k` is there twice"),
        ("top_k=1 top-k=1", "`top_k` is there twice"),
        ("beam beams=3", "no `beams`; did you mean `num_beams`"),
        ("beam num_beams=0", "num_beams"),
        ("greedy top_k=3", "`top_k` has no effect"),
        ("greedy temp=1", "leave it out"),
        ("top_p=2", r"in \(0, 1\]; got 2"),
        ("logit_bias={3:4}", "is no JSON"),
        ("MinP p=0.1", "'MinP' has no value; write settings .*; did you mean `min_p`.$"),
        ("mirostat", "did you mean `mirostat`, `mirostat_tau`, `mirostat_eta`.$"),
        ("temp:0.7", "'0.7' has no value; .*; did you mean 'temp=0.7'.$"),
        ("temp: 0.7 top-k : 40", "did you mean 'temp=0.7 top-k=40'.$"),
        ("top_k: top_k=0.5", r"in \[1, inf\).*; got 0.5$"),
        ("order=vlm", "did you mean 'vllm'"),
        ("defaults=1", "`defaults` is true or false"),
        ("json_schema={}", "give it to `generate`"),
    ],
)
def test_what_cannot_be_read_says_why_and_where(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read(text)
    assert str(caught.value).startswith(f"sampler {text!r}")


def test_no_text() -> None:
    with pytest.raises(ValueError, match="written as a text, got 50"):
        ls.Sampler.parse(50)  # type: ignore[arg-type]


@given(st.text(alphabet='abktop_=-: ,.0123456789[]{}"', max_size=40) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text)


@given(
    st.floats(0.01, 5),
    st.integers(1, 10**6),
    st.floats(0.001, 0.999),
    st.permutations(["temperature", "top_k", "top_p"]),
)
def test_what_is_written_is_what_from_params_makes(
    temperature: float, k: int, p: float, names: list[str]
) -> None:
    values = {"temperature": temperature, "top_k": k, "top_p": p}
    text = " ".join(f"{name}={values[name]!r}" for name in names)
    assert ls.Sampler.parse(text).transforms == ls.Sampler.from_params(**values).transforms
