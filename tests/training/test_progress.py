import pytest

from logit_sampling.training.progress import Progress

ROW = {
    "epoch": 2,
    "training_nats_per_character": 1.5,
    "validation_nats_per_character": 1.25,
    "validation_bits_per_character": 1.8034,
    "validation_perplexity": 12.5,
    "seconds": 61.4,
}
LINE = (
    "epoch 2: training 1.5000, validation 1.2500 nats a character (1.8034 bits; perplexity of a "
    "token 12.50), 61 s\n"
)


@pytest.fixture
def terminal(monkeypatch):
    """What makes a stream that is none look like a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def log(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("log")
def test_a_log_has_whole_lines_and_no_bar(capsys):
    with Progress(epochs=3, steps=2, done=1) as progress:
        progress.advance(2.0)
        progress.show(ROW, "ROMEO:\n" + 30 * "word ")
    assert capsys.readouterr().out == LINE + "ROMEO:\n" + 30 * "word " + "\n"


@pytest.mark.usefixtures("log")
def test_a_sample_is_shown_as_it_is_and_steers_no_terminal(capsys):
    with Progress(epochs=3, steps=2, done=0) as progress:
        progress.show(ROW, "a\x1b[31m\a\b\r\x9b2J [red]b[/red] :smile: 'c'\n\td")
    shown = capsys.readouterr().out.removeprefix(LINE)
    assert shown == "a\\x1b[31m\\x07\\x08\\r\\x9b2J [red]b[/red] :smile: 'c'\n        d\n"


@pytest.mark.usefixtures("terminal")
def test_the_bar_has_a_loss_from_the_first_step_on(capsys):
    with Progress(epochs=3, steps=2, done=1) as progress:
        progress._bar.refresh()
        before = capsys.readouterr().out
        progress.advance(2.0)
        progress._bar.refresh()
        after = capsys.readouterr().out
    assert "2/3" in before
    assert "2/6" in before
    assert "loss" not in before
    assert "nan" not in before
    assert "loss 2.000" in after


@pytest.mark.usefixtures("terminal")
def test_a_run_that_has_no_step_left_has_no_bar(capsys):
    with Progress(epochs=3, steps=2, done=3):
        pass
    assert capsys.readouterr().out == ""
