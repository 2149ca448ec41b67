"""The picture of the next-token distribution: its numbers, its labels, its file."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import logit_sampling as ls
from logit_sampling.evaluation import check_plot_path, plot_next_token, plots
from logit_sampling.plotting import figures
from logit_sampling.plotting.figures import token_label

SAMPLERS = {
    "greedy": ls.Greedy(),
    "top-k 3": ls.Sampler(ls.TopK(3)),
    "top-p 0.7": ls.Sampler(ls.TopP(0.7)),
}


@pytest.fixture
def figure(toy: Any, tmp_path: Path, monkeypatch: Any) -> Figure:
    """The figure of two prompts, with bars for the three likeliest tokens."""
    drawn = []
    monkeypatch.setattr(plots, "write_whole", lambda figure, path: drawn.append(figure))
    plot_next_token(toy, ["$ a", "b"], tmp_path / "p.png", SAMPLERS, top=3)
    return drawn[0]


def bars(axes: Any) -> tuple[list[float], list[float]]:
    """Widths of the model's bars and of the sampler's, top to bottom, the other tokens last."""
    pale, solid = axes.containers
    return [bar.get_width() for bar in pale], [bar.get_width() for bar in solid]


def test_bars_are_the_probabilities_before_and_after(figure: Figure) -> None:
    # After "a": b 1/2, a 1/4, space 1/8, the two others 1/16 each.
    greedy, top_k, top_p = figure.subfigs[0].axes
    model = pytest.approx([1 / 2, 1 / 4, 1 / 8, 1 / 8], abs=1e-6)
    assert bars(greedy) == (model, pytest.approx([1, 0, 0, 0]))
    assert bars(top_k) == (model, pytest.approx([4 / 7, 2 / 7, 1 / 7, 0], abs=1e-6))
    assert bars(top_p) == (model, pytest.approx([2 / 3, 1 / 3, 0, 0], abs=1e-6))
    # After "b": space 1/2, a 1/4, b 1/8.
    assert bars(figure.subfigs[1].axes[1])[1] == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0], abs=1e-6)


def test_every_panel_says_what_it_keeps(figure: Figure) -> None:
    first, second = figure.subfigs
    assert first.get_suptitle() == "Next token after “$ a”"
    assert second.get_suptitle() == "Next token after “b”"
    assert [axes.get_title(loc="left") for axes in first.axes] == list(SAMPLERS)
    assert [axes.texts[-1].get_text() for axes in first.axes] == [
        "keeps 1 of 5 tokens,\n50.0% of the model's mass",
        "keeps 3 of 5 tokens,\n87.5% of the model's mass",
        "keeps 2 of 5 tokens,\n75.0% of the model's mass",
    ]
    labels = [[t.get_text() for t in part.axes[0].get_yticklabels()] for part in (first, second)]
    assert labels == [["b", "a", "␣", "2 others"], ["␣", "a", "b", "2 others"]]


def test_the_axis_holds_the_longest_bar_and_ticks_within(figure: Figure) -> None:
    for axes in figure.subfigs[0].axes:
        assert axes.get_xlim() == (0, pytest.approx(1.03))
        assert list(axes.get_xticks()) == [0.01, 0.1, 0.3, 0.6, 1]
        left, middle, right = axes.transData.transform([(0, 0), (0.25, 0), (1, 0)])[:, 0]
        assert middle - left == pytest.approx((right - left) / 2)  # the root of 1/4 is 1/2


def test_a_tall_picture_can_be_written(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "write_whole", lambda figure, path: drawn.append(figure))
    for top in (20, 3000):
        plot_next_token(toy, ["a"], tmp_path / "p.png", {"pure": ls.Sampler()}, top)
    ordinary, tall = ((figure.get_size_inches() * figure.dpi).max() for figure in drawn)
    assert ordinary == pytest.approx(5.9 * 150)
    assert 60_000 < tall < 2**16


def test_history_counts_the_prompt(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    seen = []

    class Spy(ls.Sampler):
        def probabilities(self, logits: Any, **past: Any) -> Any:
            seen.append(past)
            return super().probabilities(logits, **past)

    plot_next_token(toy, ["b$"], tmp_path / "p.svg", {"spy": Spy()})
    assert seen == [{"history": [1, 4], "prompt_length": 2}]


@pytest.mark.parametrize(
    ("name", "start"), [("p.png", b"\x89PNG"), ("p.PDF", b"%PDF"), ("p.svg", b"<?xml")]
)
def test_the_suffix_is_the_format(toy: Any, tmp_path: Path, name: str, start: bytes) -> None:
    plot_next_token(toy, ["a \n"], tmp_path / name, SAMPLERS, top=2)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failed_write_leaves_the_old_file(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    target = tmp_path / "p.png"
    target.write_bytes(b"old")

    def fail(self: Figure, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_next_token(toy, ["a"], target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_paths_are_checked(tmp_path: Path, monkeypatch: Any) -> None:
    assert check_plot_path(f"{tmp_path}/p.png") == tmp_path / "p.png"
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf; got '.*p\.bmp'"):
        check_plot_path(tmp_path / "p.bmp")
    with pytest.raises(ValueError, match=r"folder of the plot '.*none/p\.png' does not exist"):
        check_plot_path(tmp_path / "none" / "p.png")
    (tmp_path / "d.png").mkdir()
    with pytest.raises(ValueError, match=r"'.*d\.png' is a folder"):
        check_plot_path(tmp_path / "d.png")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"'.*a\.png' cannot be written: File name too long"):
        check_plot_path(tmp_path / f"{'a' * 250}.png")  # longer while it is written
    assert {path.name for path in tmp_path.iterdir()} == {"d.png", "file"}
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "logit-sampling\[plots\]"'):
        check_plot_path(tmp_path / "p.png")


def test_an_empty_prompt_is_refused(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="prompt of the plot is empty"):
        plot_next_token(toy, ["a", ""], tmp_path / "p.png", top=2)
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_without_others(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "write_whole", lambda figure, path: drawn.append(figure))
    plot_next_token(toy, ["a"], tmp_path / "p.png", {"pure": ls.Sampler()})
    axes = drawn[0].subfigs[0].axes[0]
    assert bars(axes)[1] == pytest.approx([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["b", "a", "␣", "⏎", "$"]


def test_labels_show_what_no_font_can() -> None:
    assert token_label("  \n\t") == "␣␣⏎⇥"
    assert token_label("\x1b\x85中") == r"\x1b\x85\u4e2d"
    assert token_label("$é$_…") == "$é$_…"
