"""Classifier-free guidance: a second context, which the first one is held against."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import in_graph, logits_of, to_numpy
from logit_sampling.distribution.checks import (
    Ids,
    InvalidRowError,
    Numbers,
    check_ids,
    check_number,
    number,
)
from logit_sampling.distribution.decorators import as_written, quietly
from logit_sampling.distribution.intake import take_in
from logit_sampling.strategies._tokens import parameter
from logit_sampling.strategies.transform import Transform, check_parameter
from logit_sampling.types import Array, ArrayLike, Logits, PerRow


@dataclass(frozen=True)
class Guidance(Transform):
    """Strengthen what the prompt changes: classifier-free guidance with a second context.

    With c and u the log-probabilities with the prompt and without it (or after a negative prompt),
    a token gets `u + scale * (c - u)`. Where c is -inf it stays. The result is the normalised
    row c for a scale of 1, whose distribution is the one that came in; later penalties that look
    at the sign of a logit see other numbers. The state is the tokens that `unconditional` gets.

    It calls a function in every step, so it works in eager code alone; inside a compiled function
    run both models there and combine their logits with `guide`.

    Args:
        scale: at least 0, or one for each row; 0 is the unconditional, 1 the conditional.
        unconditional: a function from token ids, int32 [batch, length], -1 for padding at the
            right, to logits [batch, vocab]. The ids are those of `prompt` and of what was
            generated; without a prompt there are none at the first step.
        prompt: token ids of the negative prompt, the same for all rows. Most models need a token.

    Raises:
        ValueError: a value is out of range, or a graph is being traced.

    Source:
        Sanchez et al., Stay on Topic with Classifier-Free Guidance, 2023, arXiv 2306.17806.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> without = lambda ids: np.log([[0.25, 0.25, 0.5]])
        >>> guided = ls.Guidance(2.0, without)(np.log([0.5, 0.25, 0.25]))
        >>> np.exp(guided)
        array([1.   , 0.25 , 0.125])
    """

    scale: Numbers = number(ge=0)
    unconditional: Callable[[np.ndarray], Logits] = None  # type: ignore[assignment]
    prompt: Ids = parameter(default=())

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "prompt")
        if not callable(self.unconditional):
            raise ValueError(
                "Guidance needs `unconditional` to be a function from token ids [batch, length] to "
                f"logits [batch, vocab]; got {self.unconditional!r}"
            )

    def init(self, history: ArrayLike, vocab_size: int) -> np.ndarray:
        """Return the tokens of the negative prompt, int32 [batch, length]."""
        _refuse_graph(history)
        return np.tile(np.asarray(self.prompt, np.int32), (history.shape[0], 1))

    def update(self, state: ArrayLike, ids: ArrayLike) -> np.ndarray:
        """Return the tokens with `ids` behind them."""
        _refuse_graph(state, ids)
        tokens, new = to_numpy(state), to_numpy(ids)
        tokens = np.pad(tokens, ((0, 0), (0, 1)), constant_values=-1)
        lengths = (tokens >= 0).sum(axis=1)
        tokens[np.arange(len(tokens)), lengths] = new
        return tokens if (tokens[:, -1] >= 0).any() else tokens[:, :-1]

    def apply(self, logits: Any, state: Any = ()) -> Any:
        """Return the guided logits, float [batch, vocab], like those given."""
        _refuse_graph(logits, state)
        ids = to_numpy(state)
        try:
            other = to_numpy(logits_of(self.unconditional(ids.copy())))
        except Exception as error:
            if ids.shape[1]:
                raise
            raise ValueError(
                "`unconditional` of Guidance gets no token at the first step, ids of shape "
                f"{ids.shape}, and this one cannot read them ({type(error).__name__}: {error}): "
                "give it tokens to begin with, as prompt="
            ) from error
        if np.shape(other) != np.shape(logits):
            raise ValueError(
                f"`unconditional` of Guidance returned shape {np.shape(other)} for logits of shape "
                f"{np.shape(logits)}; it takes token ids [batch, length] and returns [batch, vocab]"
            )
        return guide(logits, other, self.scale)

    def get_config(self) -> dict[str, Any]:
        """Raise ValueError: JSON cannot hold a function."""
        raise ValueError(
            "Guidance has no configuration, since JSON cannot hold its function `unconditional`; "
            "construct it again"
        )


@as_written
@quietly
def guide(logits: Array, unconditional_logits: ArrayLike, scale: PerRow) -> Array:
    """Combine the logits of two contexts as `Guidance` does; works inside graphs too.

    Args:
        logits: with the prompt: floating point, [vocab] or [batch, vocab], an array or a tensor.
        unconditional_logits: without it, of the same shape.
        scale: at least 0, or one for each row.

    Returns:
        logits of the same shape and array type. Where the conditional is -inf it stays; where only
        the unconditional is, a scale above 1 gives +inf, and one below 1 -inf.

    Raises:
        ValueError: shapes that differ, a wrong rank or dtype, a scale out of range; in eager code
            NaN, or an unconditional row with every token at -inf. In a graph they give NaN.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> c, u = np.log([0.5, 0.25, 0.25]), np.log([0.25, 0.25, 0.5])
        >>> np.exp(ls.guide(c, u, 0.5)).round(4)
        array([0.3536, 0.25  , 0.3536])
    """
    field = Guidance.__dataclass_fields__["scale"]
    scale = check_number("guide", field, scale)
    taken = check_parameter("guide", field, scale, take_in(logits, unconditional_logits, scale))
    other = take_in(unconditional_logits, logits, scale)
    xp, x, y = taken.distribution.xp, taken.distribution.dense(), other.distribution.dense()
    if any(a != b for a, b in zip(x.shape, y.shape, strict=True) if None not in (a, b)):
        raise ValueError(
            f"both logits must have the same shape, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not taken.symbolic and (y.max(axis=-1) == -np.inf).any():
        row = int((y.max(axis=-1) == -np.inf).argmax())
        raise InvalidRowError(row, "every token of {row} is at -inf in the unconditional logits")
    factor = xp.array(taken.distribution.per_row(scale)[:, None], dtype=x.dtype)
    limit = xp.array(xp.where(factor > 1, np.inf, -np.inf), dtype=x.dtype)  # as u falls to -inf
    with np.errstate(invalid="ignore"):  # a row that has no distribution
        c, u = _log_softmax(xp, x), _log_softmax(xp, y)
    never, absent = (x == -np.inf) | (c == -np.inf), u == -np.inf
    c, u = xp.where(never, 0.0, c), xp.where(absent, 0.0, u)
    guided = xp.where(absent, limit, u + factor * (c - u))
    guided = xp.where(factor == 1, c + 0 * u, guided)  # exactly c, but NaN where u is
    return taken.restore(xp.where(never, -np.inf, guided))


def _log_softmax(xp: Any, x: Any) -> Any:
    """Return log-probabilities, NaN where every token is at -inf; +inf takes all the mass."""
    peak = xp.max(x, axis=-1, keepdims=True)
    shifted = xp.where(peak == np.inf, xp.where(x == peak, xp.zeros_like(x), -np.inf), x - peak)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def _refuse_graph(*arrays: Any) -> None:
    if in_graph(*arrays):
        raise ValueError(
            "Guidance calls a function on arrays and cannot be part of a graph: run both models in "
            "the graph, combine their logits with logit_sampling.guide, and sample from the result"
        )
