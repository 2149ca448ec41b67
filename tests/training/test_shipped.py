import csv
import json
import math
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "models" / "shakespeare"


@pytest.fixture(scope="module")
def metrics():
    return json.loads((FOLDER / "metrics.json").read_text())


def test_it_loads_with_keras_hub_alone_and_is_small(metrics):
    import keras_hub

    model = keras_hub.models.CausalLM.from_preset(str(FOLDER))
    assert model.count_params() == metrics["parameters"] <= 4_000_000
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) <= 20_000_000
    text = "ROMEO:\nBut soft! What light, through yonder window breaks?\r\n\tÜ 🙂"
    tokenizer = model.preprocessor.tokenizer
    assert tokenizer.detokenize(tokenizer(text)) == text
    assert tokenizer.vocabulary_size() == metrics["vocabulary_size"]
    assert model.preprocessor.sequence_length == metrics["recipe"]["context"]


def test_it_writes_lines_of_a_play():
    import logit_sampling as ls

    text = ls.generate(
        ls.load_model(FOLDER),
        ["ROMEO:\n"],
        sampler=ls.Sampler(ls.Temperature(0.5)),
        max_new_tokens=200,
        seed=1,
    ).texts[0]
    words = text.lower().replace("\n", " ").split()
    common = {"the", "and", "to", "i", "of", "my", "you", "a", "that", "in", "is", "not"}
    assert sum(word in common for word in words) > 0.1 * len(words)
    assert text.count("\n") >= 3


def test_the_card_the_log_and_the_metrics_agree(metrics):
    with (FOLDER / "log.csv").open() as file:
        log = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [row["epoch"] for row in log] == list(range(1, metrics["recipe"]["epochs"] + 1))
    best = min(log, key=lambda row: row["validation_nats_per_character"])
    assert best["epoch"] == metrics["best_epoch"]
    per_character = metrics["nats_per_character"]
    assert per_character == pytest.approx(best["validation_nats_per_character"], rel=1e-5)
    assert per_character < 1.47
    assert metrics["bits_per_character"] == pytest.approx(per_character / math.log(2))
    assert metrics["nats_per_token"] * metrics["validation_tokens"] == pytest.approx(
        per_character * metrics["validation_characters"]
    )
    assert metrics["validation_characters"] == 111_540
    card = (FOLDER / "README.md").read_text()
    for name in ("nats_per_token", "nats_per_character", "bits_per_character"):
        assert f"{metrics[name]:.4f}" in card
