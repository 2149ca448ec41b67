"""The contract between strategies and engines: what a strategy may ask of a distribution."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self, TypeAlias

Array: TypeAlias = Any
"""An array of the engine: NumPy's in eager code, a tensor of Keras' backend in a graph."""

PerRow: TypeAlias = Any
"""One number for all rows, or one for each, [batch]: a parameter as a strategy keeps it."""


class Distribution(Protocol):
    """The logits of a batch on their way through a chain: [batch, vocab], or what is left of them.

    It is a value: what changes it returns another. A weight is the exponential of a logit at the
    current temperature, relative to the greatest of its row, which has the weight 1 and the log
    weight 0. So -ln p of a token is the log total minus its log weight, and the entropy is the log
    total minus the mean log weight. Order is by logit, the greatest first, and of equals the lower
    token id first. A result "[batch]" is an array of the engine, of its widest float.

    Functions that are passed in compute with `xp` along the last axis. They get their further
    parameters so that these broadcast, and are called once for a batch or once for a row, on all
    tokens or on a part of them.
    """

    __slots__ = ()

    xp: ClassVar[Any]
    """Functions on the engine's arrays by NumPy's names: `numpy`, or `keras.ops` in a graph."""

    vocab_size: int

    # What can be measured.

    def per_row(self, parameter: PerRow) -> Array:
        """Return a parameter as an array of the engine, [batch]."""

    def count(self) -> Array:
        """Return how many tokens are above -inf, [batch]."""

    def log_total(self) -> Array:
        """Return the log of the sum of all weights, [batch]: -ln of the greatest probability."""

    def mean_log_weight(self) -> Array:
        """Return the mean of the log weights, [batch]: the log total minus the entropy."""

    def entropy(self) -> Array:
        """Return the entropy in nats, [batch]."""

    def log_collision(self) -> Array:
        """Return the log of the sum of the squared probabilities, [batch]."""

    def std(self) -> Array:
        """Return the standard deviation of the logits above -inf as they came in, [batch].

        It is that of a population, and no temperature changes it.
        """

    def top_log_probs(self, count: int) -> Array:
        """Return the log-probabilities of the first tokens, [batch, count], -inf for none."""

    def least_log_weight(self) -> Array:
        """Return the log weight of the last token above -inf, [batch]; 0 for none."""

    def of_first(self, function: Callable[..., tuple[Array, Array]], *parameters: PerRow) -> Array:
        """Return what `function` makes of the first tokens, [batch]; 0 for none.

        `function(log_weights, *parameters)` gets their log weights in order, -inf for a removed
        one, and returns a number for each row, and whether the tokens behind them leave it as it
        is. It sees a few tokens first, and all where these cannot tell.
        """

    def tolerance(self, log_weight: PerRow) -> Array:
        """Return how far rounding may move the log weight of a token that has this one, [batch]."""

    # What keeps some tokens. Of each row the first token stays, but where it is said otherwise.

    def top(self, k: PerRow) -> Self:
        """Keep the first `k` tokens."""

    def reach(
        self, p: PerRow, key: Callable[..., Array] | None = None, *parameters: PerRow
    ) -> Self:
        """Keep the shortest prefix whose probability reaches `p`; 1 keeps all.

        The order is by `key(log_weights, *parameters)`, the greatest first, or by logit. A key
        may have one maximum over the log weights, and below it falls with them: so what is less
        likely than a token on that side comes behind it.
        """

    def prefix(self, wanted: Callable[..., Array], *parameters: PerRow) -> Self:
        """Keep the longest prefix of wanted tokens.

        `wanted(weight_before, terms_before, weight, term, *parameters)` tells of a token from the
        sums over those before it, and from its own. A term is a weight times its log. Once it is
        false it stays false.
        """

    def at_least(self, log_weight: PerRow) -> Self:
        """Keep the tokens of at least this log weight."""

    def within(self, distance: PerRow) -> Self:
        """Keep the tokens whose logit as it came in is at most so far below the greatest."""

    def drop_last(self) -> Self:
        """Remove the last token above -inf in each row, which may leave the row empty."""

    def without(self, other: Self, where: PerRow) -> Self:
        """Remove what `other` holds above -inf, in the rows where `where` is true."""

    def only(self, token_ids: tuple[int, ...]) -> Self:
        """Remove all tokens but these; nothing may be left."""

    def force(self, token_ids: Array) -> Self:
        """Leave one token, with logit 0, in each row, int [batch]; -1 leaves the row as it is."""

    # What changes logits.

    def scale(self, temperature: PerRow) -> Self:
        """Divide the logits by `temperature`; 0 keeps the first token."""

    def map(self, function: Callable[..., Array], *parameters: PerRow) -> Self:
        """Give each token above -inf the logit `function(log_weights, *parameters)`."""

    def add(self, amount: PerRow, chosen: Callable[..., Array], *integers: PerRow) -> Self:
        """Add `amount`, at least 0, to the logits of the tokens that are chosen.

        `chosen(token_ids, *integers)` tells which, bool; token ids and integers are uint32.
        """

    def adjust(self, token_ids: Array, change: Callable[[Array], Array]) -> Self:
        """Change the logits of some tokens.

        Args:
            token_ids: int [batch, n], each once in a row; -1 is none, and so is an id beyond the
                vocabulary.
            change: gets their logits, the widest float [batch, n] (-inf for none), and returns the
                new ones; what is finite stays so, at the limit of the logits' dtype.
        """

    def lower(self, token_ids: Array, amounts: Array) -> Self:
        """Lower the logits of some tokens; what is finite stays so.

        Args:
            token_ids: int [batch, n]; -1 is none.
            amounts: [batch, n], at least 0; of a token that is there again the greatest counts.
        """

    # What belongs to a step.

    def toss(self, probability: PerRow) -> tuple[Array, Self]:
        """Toss a coin for each row: bool [batch], and the distribution after it.

        Each call in a chain tosses another.
        """

    def own(self, array: Any) -> Array:
        """Return an integer array of a state as an array of the engine."""

    def without_rows(self, lost: Array) -> Self:
        """Go on without the rows that are `lost`, bool [batch].

        They give the id -1 in a graph; in eager code a ValueError says what to do.
        """

    def replaced(self, logits: Any, source: str) -> Self:
        """Go on with the logits [batch, vocab] that the transform `source` returned."""

    # What comes out.

    def dense(self) -> Array:
        """Return the logits, [batch, vocab], -inf for what was removed."""

    def probabilities(self) -> Array:
        """Return the probabilities, float32 [batch, vocab]."""

    def log_prob(self, token_ids: Array) -> Array:
        """Return the log-probability of a token of each row, float32 [batch]."""

    def draw(self) -> Array:
        """Return a token for each row, int32 [batch], by one uniform number of seed and step."""

    def seeded(self, seeds: Any, steps: Any) -> Self:
        """Return the same, whose random numbers are those of `seeds` and `steps`."""

    def fixed(self, coins: tuple[bool, ...]) -> Self:
        """Return the same, whose next coins fall as given."""
