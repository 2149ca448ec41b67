"""The hyperparameters of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Recipe:
    """Every number that decides what a training run does; the defaults made the shipped model.

    Sizes are in tokens, `width` is that of the embedding, rates are probabilities: `bpe_dropout` is
    that of a merge that is left out (see `BPEDropout`). Without a `batch_size` it is 32 windows, or
    as few as give an epoch of a small text 10 steps. `ema` is what the momentum of the average
    of the weights grows to; 0 is for no average.
    """

    vocabulary_size: int = 512
    context: int = 256
    layers: int = 5
    heads: int = 4
    width: int = 256
    dropout: float = 0.2
    bpe_dropout: float = 0.1
    epochs: int = 20
    batch_size: int | None = None
    learning_rate: float = 2e-3
    warmup: float = 0.03
    final_learning_rate: float = 0.02
    weight_decay: float = 0.5
    beta_2: float = 0.99
    ema: float = 0.99
    seed: int = 1337

    def __post_init__(self) -> None:
        """Refuse, in one line, what cannot work."""
        for name, low, high in (
            ("vocabulary_size", 258, 65536),
            ("context", 2, 65536),
            ("layers", 1, 100),
            ("heads", 1, 1024),
            ("width", 1, 65536),
            ("epochs", 1, 100_000),
            ("batch_size", 1, 65536),
            ("dropout", 0.0, 0.9),
            ("bpe_dropout", 0.0, 0.9),
            ("learning_rate", 1e-9, 1.0),
            ("warmup", 0.0, 1.0),
            ("final_learning_rate", 0.0, 1.0),
            ("weight_decay", 0.0, 10.0),
            ("beta_2", 0.0, 0.99999),
            ("ema", 0.0, 0.99999),
            ("seed", 0, 2**31 - 1),
        ):
            value = getattr(self, name)
            if name == "batch_size" and value is None:
                continue
            kinds = (int,) if isinstance(low, int) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
                kind = "an integer" if isinstance(low, int) else "a number"
                raise ValueError(f"`{name}` must be {kind} from {low} to {high}, not {value!r}")
        if self.width % self.heads:
            raise ValueError(
                f"`width` must be a multiple of `heads`: {self.width} is not one of {self.heads}"
            )

    def differences(self, other: dict[str, object]) -> list[str]:
        """One "name: theirs, now ours" for each field in which a stored recipe differs.

        A field that the version which stored it did not have had the value that is now its default.
        """
        theirs = {field.name: field.default for field in fields(self)} | other
        return [
            f"`{name}`: {theirs[name]}, now {ours}"
            for name, ours in asdict(self).items()
            if theirs[name] != ours
        ]
