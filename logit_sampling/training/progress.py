"""What a run shows while it goes on: a progress bar, and a line of the log an epoch."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import TracebackType

from logit_sampling.plotting.visible import visible
from logit_sampling.training.checkpoint import write_whole


class Progress:
    """A bar over the steps of a run with loss and time left, and a line and a sample an epoch."""

    def __init__(self, epochs: int, steps: int, done: int) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("loss {task.fields[loss]}"),
            progress.TimeRemainingColumn(),
        )
        self._epochs = epochs
        self._task = self._bar.add_task(
            "",
            total=epochs * steps,
            completed=done * steps,
            epoch=min(done + 1, epochs),
            loss="-",
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
        self._bar.update(self._task, advance=1, loss=f"{loss:.3f}")

    def show(self, row: dict[str, float], sample: str) -> None:
        """The line of the log for an epoch, and what the model writes after it."""
        self._bar.update(self._task, epoch=min(int(row["epoch"]) + 1, self._epochs))
        self._bar.console.print(
            f"epoch {row['epoch']}: training {row['training_nats_per_character']:.4f}, "
            f"validation {row['validation_nats_per_character']:.4f} nats a character "
            f"({row['validation_bits_per_character']:.4f} bits; perplexity of a token "
            f"{row['validation_perplexity']:.2f}), "
            f"{row['seconds']:.0f} s",
            highlight=False,
        )
        shown = visible(sample, keep="\n\t")
        self._bar.console.print(shown, style="dim", markup=False, highlight=False)


def write_log(path: Path, log: list[dict[str, float]]) -> None:
    """The log as CSV, one line an epoch."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(log[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(log)
    write_whole(path, buffer.getvalue().encode())
