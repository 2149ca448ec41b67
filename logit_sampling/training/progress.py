"""What a run shows while it goes on: a progress bar, and a line of the log an epoch."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import TracebackType

from logit_sampling.plotting.visible import visible
from logit_sampling.training.checkpoint import write_whole


class Progress:
    """A bar over the steps of a run with loss and time left, and a line and a sample an epoch.

    The bar is for a terminal or a notebook: in a log it would be noise.
    """

    def __init__(self, epochs: int, steps: int, done: int) -> None:
        from rich import progress
        from rich.console import Console

        console = Console()
        self._bar = progress.Progress(
            progress.TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[loss]}"),
            progress.TimeRemainingColumn(),
            console=console,
            disable=done == epochs or not (console.is_interactive or console.is_jupyter),
        )
        self._epochs = epochs
        self._task = self._bar.add_task(
            "",
            total=epochs * steps,
            completed=done * steps,
            epoch=min(done + 1, epochs),
            loss="",
        )

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, loss: float) -> None:
        """One more step is done; `loss` is the epoch's mean so far, in nats a token."""
        self._bar.update(self._task, advance=1, loss=f"loss {loss:.3f}")

    def show(self, row: dict[str, float], sample: str) -> None:
        """The line of the log for an epoch, and what the model writes after it."""
        self._bar.update(self._task, epoch=min(int(row["epoch"]) + 1, self._epochs))
        self._print(
            f"epoch {row['epoch']}: training {row['training_nats_per_character']:.4f}, "
            f"validation {row['validation_nats_per_character']:.4f} nats a character "
            f"({row['validation_bits_per_character']:.4f} bits; perplexity of a token "
            f"{row['validation_perplexity']:.2f}), "
            f"{row['seconds']:.0f} s"
        )
        self._print(sample, "dim")

    def _print(self, text: str, style: str = "") -> None:
        """Print a text as it is: not wrapped, and none of it taken for markup, emoji or control."""
        from rich.text import Text

        self._bar.console.print(Text(visible(text, keep="\n\t"), style), soft_wrap=True)


def write_log(path: Path, log: list[dict[str, float]]) -> None:
    """The log as CSV, one line an epoch."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(log[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(log)
    write_whole(path, buffer.getvalue().encode())
