"""Log-probabilities of tokens under a model, from the logits of a batch."""

import numpy as np

from logit_sampling.decoding.row import Alternatives
from logit_sampling.distribution.checks import check_dtype
from logit_sampling.distribution.selection import leading


class LogProbs:
    """The log-softmax of logits, computed where it is asked for.

    Args:
        logits: floating point [rows, vocab]. Where there is +inf it has all the mass.

    Attributes:
        defined: bool [rows], false for a row with NaN or with every token at -inf, whose
            log-probabilities are NaN.

    Raises:
        ValueError: the logits are no floating-point numbers.

    >>> log_probs = LogProbs(np.log(np.array([[0.5, 0.25, 0.25], [1.0, 6.0, 1.0]], np.float32)))
    >>> log_probs.of(np.array([0, 1])).round(6)
    array([-0.693147, -0.287682])
    """

    def __init__(self, logits: np.ndarray) -> None:
        check_dtype(logits.dtype.name)
        if logits.dtype.itemsize < 4:
            logits = logits.astype(np.float32)
        self._logits = logits
        self._totals = _log_totals(logits)
        infinite = self._totals == np.inf
        if infinite.any():
            certain = np.where(logits == np.inf, logits.dtype.type(0), -np.inf)
            self._logits = np.where(infinite[:, None], certain, logits)
            self._totals = _log_totals(self._logits)
        self.defined: np.ndarray = self._totals > -np.inf
        self._totals[~self.defined] = np.nan

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Return the log-probability of a token of each row, int [rows], as float64 [rows]."""
        return self._logits[np.arange(len(ids)), ids] - self._totals

    def log_prob(self, row: int, token: int) -> float:
        """Return the log-probability of a token of one row."""
        return float(self._logits[row, token] - self._totals[row])

    def likeliest(self, row: int, count: int) -> Alternatives:
        """Return the first possible tokens of a row, of equals the lower id first."""
        own = self._logits[row]
        places = leading(own, min(count, own.size))
        places = places[np.argsort(-own[places], kind="stable")]
        possible = places[own[places] > -np.inf]
        return [(int(i), float(own[i] - self._totals[row])) for i in possible]


def _log_totals(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of the exponentials of each row, float64 [rows]."""
    totals = np.empty(len(logits))
    work = np.empty(logits.shape[-1], logits.dtype)
    for row, own in enumerate(logits):  # a row at a time stays in the processor's cache
        peak = own.max()
        if np.isinf(peak):
            totals[row] = peak
            continue
        np.exp(np.subtract(own, peak, out=work), out=work)
        totals[row] = float(peak) + np.log(work.sum(dtype=np.float64))
    return totals
