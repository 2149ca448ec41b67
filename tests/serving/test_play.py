"""What the page of the playground is told: `explain`'s numbers, `generate`'s tokens."""

import json
import math

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.decoding.reader import Reader
from logit_sampling.serving.cards import CHAINS, PROMPTS, cards
from logit_sampling.serving.changes import nearest
from logit_sampling.serving.play import Playground
from logit_sampling.serving.refused import RefusedError
from logit_sampling.settings import SYSTEMS
from logit_sampling.settings.written import in_written_order

LINE = "order=written temperature=0.8 top_k=50 top_p=0.9"


@pytest.fixture(scope="module")
def playground(model):
    return Playground(model)


def asked(**more):
    return {"prompt": "ROMEO:", "tokens": [], "lines": [LINE, "greedy"], "seed": 7} | more


def explanation(model, tokens, line):
    ids = [*model.encode("ROMEO:"), *tokens]
    logits = Reader(model).read({0: ids}).logits[0, -1]
    size = len(model.encode("ROMEO:"))
    given = {"history": ids, "prompt_length": size, "seed": 7, "step": len(ids), "top": 512}
    return ls.Sampler.parse(line).explain(logits, **given)


@pytest.mark.parametrize("line", [LINE, "repetition_penalty=1.3 dry_multiplier=1", "greedy"])
def test_every_number_is_explains(playground, model, line):
    told = playground.next(asked(lines=[line], count=500, first=0))
    own = explanation(model, [], line).to_dict()
    (chain,) = told["chains"]
    assert chain["stages"] == own["stages"] and chain["drawn"] == own["drawn"]
    assert (told["entropy"], told["vocab_size"]) == (own["entropy"], own["vocab_size"])
    by_id = {token["id"]: token for token in own["tokens"]}
    assert len(told["rows"]) == 500 and told["total"] == 512
    for row in told["rows"]:
        token = by_id[row["id"]]
        assert row["raw_log_prob"] == token["raw_log_prob"]
        (mine,) = row["chains"]
        assert all(mine[name] == token[name] for name in mine)
        assert bytes(row["bytes"]).decode(errors="replace") == row["text"]
    assert chain["kept"] == own["stages"][-1]["tokens_after"]


def test_texts_in_any_order_are_read_as_if_alone(model):
    own = Playground(model)
    long = [7, 8, 9] * 20
    asks = [
        ("ROMEO:", [1, 2, 3, 4]),
        ("The king is", []),
        ("The king was", [5]),
        ("ROMEO:", [1, 9]),
    ]
    asks += [("ROMEO:", [1, 2, 3]), ("ROMEO:", [1, 9, 5]), ("A", []), ("ROMEO:", long)]
    asks += [("ROMEO:", [*long[:40], 1]), ("ROMEO:", [2, *long]), ("A", [1]), ("JULIET:", long)]
    for prompt, tokens in asks:
        told = own.next(asked(prompt=prompt, tokens=tokens, lines=[], count=500))
        ids = [*model.encode(prompt), *tokens]
        raw = ls.Sampler().explain(Reader(model).read({0: ids}).logits[0, -1]).raw_log_probs
        for row in told["rows"]:
            assert row["raw_log_prob"] == pytest.approx(raw[row["id"]], abs=1e-3)


def test_rows_come_in_pages_in_any_order(playground):
    whole = playground.next(asked(count=500))["rows"]
    part = playground.next(asked(first=20, count=30))["rows"]
    assert part == whole[20:50] and [row["rank"] for row in part] == list(range(20, 50))
    raw = [row["raw_log_prob"] for row in whole]
    assert raw == sorted(raw, reverse=True)
    by_greedy = playground.next(asked(by=1, count=3))["rows"]
    assert by_greedy[0]["chains"][1]["final_log_prob"] == 0.0
    assert [row["chains"][1]["final_log_prob"] for row in by_greedy[1:]] == [None, None]
    assert by_greedy[1]["raw_log_prob"] >= by_greedy[2]["raw_log_prob"]
    assert playground.next(asked(first=512))["rows"] == []


def test_a_wrong_chain_stands_beside_the_others(playground):
    told = playground.next(asked(lines=["top_kk=3", LINE], count=1))
    wrong, right = told["chains"]
    assert "did you mean `top_k`" in wrong["error"] and wrong["stages"] == []
    assert right["error"] is None and len(right["stages"]) == 3
    assert told["rows"][0]["chains"][0] is None and told["rows"][0]["chains"][1]["log_probs"]


@pytest.mark.parametrize("line", [LINE, "typical_p=0.9 repetition_penalty=1.3", "greedy", "sample"])
def test_what_is_written_is_generates(playground, model, line):
    written = list(playground.write(asked(line=line, count=12, top=3)))
    expected = ls.generate(model, "ROMEO:", sampler=line, seed=7, max_new_tokens=12)
    assert [token["id"] for token in written] == expected.token_ids[0]
    np.testing.assert_allclose([t["log_prob"] for t in written], expected.log_probs[0], rtol=1e-4)
    # Behind tokens that are there already it goes on as if it had written them.
    tokens = expected.token_ids[0][:5]
    rest = playground.write(asked(line=line, tokens=tokens, count=7))
    assert [token["id"] for token in rest] == expected.token_ids[0][5:]
    assert all(len(token["alternatives"]) == 3 for token in written)


def test_writing_ends_with_an_end_token_or_the_context(playground, model):
    end = f"order=written allowed_token_ids=[{next(iter(model.end_ids))}]"
    (only,) = playground.write(asked(line=end, count=5))
    assert only["end"]
    long = {"prompt": "a" * 250, "line": "sample", "seed": 1, "count": 50}
    room = 256 - len(model.encode("a" * 250))
    assert len(list(playground.write(long))) == min(50, room)
    full = asked(tokens=[1] * 256)
    with pytest.raises(RefusedError, match="the model reads 256"):
        playground.next(full)


def test_a_path_is_told_token_by_token(playground, model):
    tokens = ls.generate(model, "ROMEO:", seed=3, max_new_tokens=6).token_ids[0]
    told = playground.path(asked(tokens=tokens, seed=3, lines=[LINE, "sample", "top_kk=1"], top=4))
    assert [token["id"] for token in told["tokens"]] == tokens
    assert [token["chains"][1]["drawn"] for token in told["tokens"]] == tokens
    assert told["chains"][0]["stages"] == [
        "Temperature(temperature=0.8)",
        "TopK(k=50)",
        "TopP(p=0.9)",
    ]
    assert "top_kk" in told["chains"][2]["error"]
    for place, token in enumerate(told["tokens"]):
        step = playground.next(asked(tokens=tokens[:place], seed=3, count=500))
        row = next(row for row in step["rows"] if row["id"] == token["id"])
        assert (token["rank"], token["raw_log_prob"]) == (row["rank"], row["raw_log_prob"])
        own = row["chains"][0]
        assert {name: token["chains"][0][name] for name in own} == own
        assert [a["id"] for a in token["alternatives"]] == [r["id"] for r in step["rows"][:4]]
    part = playground.path(
        asked(tokens=tokens, seed=3, lines=[LINE, "sample", "top_kk=1"], top=4, first=2, count=3)
    )
    assert part["tokens"] == told["tokens"][2:5]


@pytest.mark.parametrize("seed", range(6))
def test_why_tells_where_the_number_fell(playground, model, seed):
    told = playground.why(asked(line=LINE, seed=seed))
    assert told["low"] <= told["uniform"] < told["high"]
    drawn = playground.next(asked(seed=seed, count=1))["chains"][0]["drawn"]
    assert told["id"] == drawn
    segment = next(own for own in told["around"] if own["id"] == drawn)
    assert (segment["low"], segment["high"]) == (told["low"], told["high"])
    ends = [own["low"] for own in told["around"]]
    assert ends == sorted(ends)
    for change in told["changes"]:  # each is drawn again
        other = playground.next(asked(lines=[change["line"]], seed=seed, count=1))["chains"][0]
        assert other["error"] is None and other["drawn"] == change["id"] != drawn


def test_the_nearest_change_is_beside_one_that_changes_nothing():
    def draw(line):
        settings = dict(pair.split("=") for pair in line.split())
        k, t = int(settings["top_k"]), float(settings["temperature"])
        if k < 1 or t < 0:
            return None
        return 1 if k < 17 else 2 if t > 1.234 else 0

    small, large = nearest("top_k=50 temperature=0.7", draw)
    found = {own["setting"]: own for own in (small, large)}
    assert found["top_k"]["to"] == 16 and found["top_k"]["id"] == 1
    assert 1.234 < found["temperature"]["to"] < 1.24 and found["temperature"]["id"] == 2
    assert nearest("top_k=5", lambda line: 3) == []
    # A whole temperature need not stay whole.
    hot = lambda line: int(float(line[12:]) > 0.3) if float(line[12:]) >= 0 else None  # noqa: E731
    assert 0.3 < nearest("temperature=0", hot)[0]["to"] < 0.301
    assert 0.299 < nearest("temperature=2", hot)[0]["to"] <= 0.3
    # A value that is nearer in the other direction goes first, and what is out of range ends it.
    both = lambda line: None if int(line[6:]) < 1 else int(int(line[6:]) not in (2, 3, 4))  # noqa: E731
    assert nearest("top_k=3", both)[0]["to"] in (1, 5)


def test_what_learns_from_draws_begins_afresh(playground):
    told = playground.next(asked(lines=["mirostat=2"], tokens=[5, 6], count=1))
    assert told["chains"][0]["error"] is None
    assert {card["switch"] for card in cards(512, 0) if card["memory"]} == {
        "mirostat",
        "adaptive_target",
    }


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"prompt": 5}, "`prompt` is a text"),
        ({"prompt": ""}, "prompt is empty"),
        ({"tokens": [512]}, r"ids in \[0, 512\)"),
        ({"tokens": "a"}, "ids in"),
        ({"seed": -1}, "`seed`"),
        ({"seed": True}, "`seed`"),
        ({"lines": ["a"] * 9}, "more than 8"),
        ({"lines": "a"}, "list of texts"),
        ({"first": -1}, "`first`"),
        ({"count": 1.5}, "`count`"),
    ],
)
def test_what_is_wrong_is_said(playground, wrong, says):
    with pytest.raises(RefusedError, match=says):
        playground.next(asked(**wrong))


def test_a_fresh_card_of_every_strategy_works(playground):
    about = playground.about()
    json.dumps(about, allow_nan=False)
    assert about["orders"] == list(SYSTEMS)
    names = {card["name"] for card in about["strategies"]}
    assert {"TopK", "TopP", "MinP", "XTC", "DRY", "Mirostat", "Temperature"} <= names
    assert len(about["strategies"]) > 30
    for card in about["strategies"]:
        settings = {
            own["name"]: own["start"] for own in card["settings"] if own["start"] is not None
        }
        line = "order=written " + " ".join(f"{n}={json.dumps(v)}" for n, v in settings.items())
        told = playground.next(asked(lines=[line], count=1))["chains"][0]
        assert told["error"] is None, (card["switch"], told["error"])
        assert told["stages"][-1]["name"].startswith(card["name"] + "(")
        assert ls.Sampler.parse(told["canonical"]) == ls.Sampler.parse(line)
        for own in card["settings"]:
            for end in own["slider"] or ():
                assert isinstance(end, int | float) and math.isfinite(end)
            if own["slider"] and own["low"] is not None:
                assert own["slider"][0] >= own["low"], own["name"]
            if own["slider"] and own["high"] is not None:
                assert own["slider"][1] <= own["high"], own["name"]


def test_what_the_page_begins_with(playground):
    for prompt in PROMPTS:
        told = playground.next(asked(prompt=prompt, lines=[line for _, line in CHAINS], count=1))
        assert [chain["error"] for chain in told["chains"]] == [None] * len(CHAINS)


@pytest.mark.parametrize(
    "line",
    [
        "temperature=0.8 top_k=50 repetition_penalty=1.2 repeat_last_n=64",
        "order=llama.cpp defaults=true",
        "order=hf temperature=0.5 top_k=5",
        "greedy presence_penalty=0.5",
        "sample",
    ],
)
def test_any_line_in_written_order(line):
    made = in_written_order(line)
    assert "order=written" in made and ls.Sampler.parse(made) == ls.Sampler.parse(line)


def test_python_makes_the_same_chain(playground):
    told = playground.next(asked(count=1))["chains"]
    for chain, line in zip(told, [LINE, "greedy"], strict=True):
        assert eval(chain["python"], {"ls": ls}) == ls.Sampler.parse(line)


def test_the_routes_of_the_page(served):
    httpx = pytest.importorskip("httpx")
    address = served(play=True, hosts=["127.0.0.1"])
    page = httpx.get(address, follow_redirects=True)
    assert page.url.path == "/play" and page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert httpx.get(f"{address}/play/static/__init__.py").status_code == 404
    assert httpx.get(f"{address}/play/static/..%2fapp.py").status_code == 404
    assert httpx.get(f"{address}/play/api/about").json()["model"]["name"] == "shakespeare"
    told = httpx.post(f"{address}/play/api/next", json=asked(count=2)).json()
    assert len(told["rows"]) == 2 and len(told["chains"]) == 2
    why = httpx.post(f"{address}/play/api/why", json=asked(line=LINE)).json()
    assert why["low"] <= why["uniform"] < why["high"]
    path = httpx.post(f"{address}/play/api/path", json=asked(tokens=[1, 2])).json()
    assert [token["id"] for token in path["tokens"]] == [1, 2]
    stream = httpx.post(f"{address}/play/api/write", json=asked(line=LINE, count=3)).text
    chunks = [line.removeprefix("data: ") for line in stream.splitlines() if line]
    assert chunks[-1] == "[DONE]" and len(chunks) == 4
    wrong = httpx.post(f"{address}/play/api/next", json=asked(prompt=5))
    assert wrong.status_code == 400 and wrong.json()["error"]["message"] == "`prompt` is a text"
    line = httpx.post(f"{address}/play/api/write", json=asked(line="top_kk=5"))
    assert line.status_code == 400 and "top_k" in line.json()["error"]["message"]
    evil = httpx.get(f"{address}/play", headers={"host": "evil.example"})
    assert evil.status_code == 400
    assert httpx.get(f"{served()}/play").status_code == 404  # only where it was asked for
