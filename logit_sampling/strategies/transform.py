"""What a transform is: parameters, three methods, and what all of them share."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, ClassVar, Self, Unpack, overload

import numpy as np

from logit_sampling.distribution.arrays import holds_symbolic, is_symbolic, to_list, to_numpy
from logit_sampling.distribution.checks import check_number, is_number
from logit_sampling.distribution.decorators import AUTOGRAPH_SKIPS, as_written, quietly
from logit_sampling.distribution.intake import Intake, seeds_and_steps, take_in
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.symbol import Symbol
from logit_sampling.strategies._history import as_history, as_prompt_length, check_columns, parted
from logit_sampling.types import (
    Array,
    ArrayLike,
    Given,
    Integers,
    Lists,
    Logits,
    PerRow,
    Seed,
    TokenIds,
)


def _if_off(kind: type, name: str, value: Any) -> str:
    """Return what to add to the refusal of a value that as a setting means off."""
    settings = import_module("logit_sampling.strategies.table").SETTINGS  # which knows the classes
    listed = () if holds_symbolic(value) else to_list(value)
    for own in settings:
        parameter = own.takes.get(name) if own.transform == kind.__name__ else None
        for one in listed if isinstance(listed, list | tuple) else (listed,):
            if parameter and parameter.off and parameter.off.holds(one):
                setting = f"{parameter.name}={one!r}"
                return f"; off is to leave it out, or Sampler.from_params({setting})"
    return ""


def _both_ways(apply: Callable, on_arrays: bool) -> Callable:
    """Let `apply` take a distribution and arrays, and return the same, whichever it takes."""

    @functools.wraps(apply)
    def both(self: "Transform", logits: Any, state: Any = ()) -> Any:
        given_arrays = not hasattr(logits, "log_total")
        if given_arrays and not on_arrays:
            return _on_distribution(self, logits, state)
        dense = on_arrays and not given_arrays
        made = apply(self, logits.dense() if dense else logits, state)
        if made is None:
            raise ValueError(f"{self!r:.60} returned None: is a `return` missing in its `apply`?")
        return logits.replaced(made, type(self).__name__) if dense else made

    del both.__wrapped__  # AutoGraph would call that
    return as_written(both)


@quietly
def _on_distribution(transform: "Transform", logits: Any, state: Any) -> Any:
    held = state if isinstance(state, tuple) else ()
    taken = transform.admit(take_in(logits, *held, *transform.tensors()))
    return taken.restore(transform.apply(taken.distribution, state).dense())


@dataclasses.dataclass(frozen=True)
class Transform:
    """Logits in, logits out; a removed token is -inf.

    A subclass is a frozen dataclass that writes `apply`. One that depends on the tokens so far
    also writes `init` and `update`; what it carries from step to step is a value (arrays, or a
    tuple of them) that is passed in and comes back. Nothing on a transform changes. It gets NumPy
    arrays in eager code, whatever the caller holds, and tensors in a graph, where AutoGraph leaves
    it as it is written; to serve both it computes with `keras.ops`.

    A `Strategy` is a transform that is written for a `Distribution` instead, once for both.

    Example:
        >>> import dataclasses, numpy as np, logit_sampling as ls
        >>> @dataclasses.dataclass(frozen=True)
        ... class Shift(ls.Transform):
        ...     by: float
        ...     def apply(self, logits, state):
        ...         return logits + self.by
        >>> Shift(2.0)(np.array([0.0, 3.0], np.float32))
        array([2., 5.], dtype=float32)
    """

    _classes: ClassVar[dict[str, type["Transform"]]] = {}
    _on_arrays: ClassVar[bool] = True
    _asked: ClassVar[frozenset[str]] = frozenset()  # by init and update, beyond their first two

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Transform._classes[cls._name()] = cls
        if "apply" in vars(cls):
            cls.apply = _both_ways(cls.apply, cls._on_arrays)  # type: ignore[method-assign]
        methods = (inspect.signature(method).parameters for method in (cls.init, cls.update))
        cls._asked = frozenset(name for method in methods for name in [*method][3:])

    @classmethod
    def _name(cls) -> str:
        """Return the name in a configuration; that of a user's class says where it is from."""
        own = cls.__module__.startswith("logit_sampling.")
        return cls.__name__ if own else f"{cls.__module__}.{cls.__qualname__}"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if is_number(field):
                value = getattr(self, field.name)
                try:
                    checked = check_number(type(self).__name__, field, value)
                except ValueError as error:
                    raise ValueError(f"{error}{_if_off(type(self), field.name, value)}") from None
                object.__setattr__(self, field.name, checked)

    def init(self, history: ArrayLike, vocab_size: int) -> Any:
        """Return the state before the first step.

        It may ask for more by name: for `capacity`, how many tokens more the state must have room
        for, since shapes are fixed in a graph; and for `prompt_length`, how many columns of the
        history are the prompt, an int or int32 [batch], None for all. Without the latter it gets
        the prompt alone, and the tokens behind it go through `update` one by one.

        Args:
            history: int [batch, length], the prompt; -1 pads a shorter row.
            vocab_size: how many tokens there are.
        """
        return ()

    def apply(self, logits: Any, state: Any = ()) -> Any:
        """Return the transformed logits, float [batch, vocab], like those given.

        Every transform takes a `Distribution` as well, and returns one then.
        """
        raise NotImplementedError(f"{type(self).__name__} does not write `apply`")

    def update(self, state: Any, ids: ArrayLike) -> Any:
        """Return the state after the tokens `ids`, int [batch], were accepted; -1 is none.

        It may ask for `distribution`: what `apply` was given before they were drawn.
        """
        return state

    def chance(self) -> PerRow | Symbol | None:
        """Return the chance of the coin that it tosses for each row and step; None for no coin."""
        return None

    def token_ids_named(self) -> tuple[int, ...]:
        """Return the token ids among its parameters, which a vocabulary must have."""
        return ()

    def end_tokens(self) -> tuple[int, ...]:
        """Return the tokens with which a text ends for it: what `generate` asks for.

        They end the texts of the sampler that it is part of, besides those of the model.
        """
        return ()

    @classmethod
    def is_stateful(cls) -> bool:
        """Tell whether it takes in the tokens that are accepted."""
        return cls.update is not Transform.update

    @classmethod
    def reads_history(cls) -> bool:
        """Tell whether its state is made of the tokens so far, all at once."""
        return "prompt_length" in cls._asked

    def per_row(self) -> dict[str, tuple[float, ...]]:
        """Return the parameters that have a value for each row."""
        numbers = (f.name for f in dataclasses.fields(self) if is_number(f))
        values = {name: getattr(self, name) for name in numbers}
        return {name: value for name, value in values.items() if isinstance(value, tuple)}

    def tensors(self) -> tuple[Symbol, ...]:
        """Return the parameters that are tensors of a graph."""
        numbers = (field.name for field in dataclasses.fields(self) if is_number(field))
        values = (getattr(self, name) for name in numbers)
        return tuple(value for value in values if is_symbolic(value))

    def admit(self, taken: Intake) -> Intake:
        """Return what was taken in, if the parameters fit its rows and its vocabulary.

        Raises:
            ValueError: they do not.
        """
        self.check_vocabulary(taken.distribution.vocab_size)
        for field in dataclasses.fields(self):
            taken = check_parameter(type(self).__name__, field, getattr(self, field.name), taken)
        return taken

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raise ValueError unless a vocabulary has all tokens among the parameters."""
        greatest = max(self.token_ids_named(), default=-1)
        if greatest >= vocab_size:
            raise ValueError(
                f"{type(self).__name__} names token {greatest}, but the last of a vocabulary of "
                f"{vocab_size} is {vocab_size - 1}"
            )

    def check_rows(self, rows: int | None) -> None:
        """Raise ValueError unless each parameter has one value, or one for each of `rows`."""
        for name, values in self.per_row().items():
            _check_count(type(self).__name__, name, len(values), rows)

    def select(self, state: Any, rows: np.ndarray) -> Any:
        """Return the state of some rows, int [n], which may be repeated or reordered.

        The first axis of each array in `state` is taken for its rows; what is no array with an
        axis belongs to all of them.
        """
        if isinstance(state, tuple):
            parts = [self.select(part, rows) for part in state]
            return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
        return to_numpy(state)[rows] if np.ndim(state) else state

    def of_rows(self, rows: Sequence[int]) -> Self:
        """Return the transform that some rows see, which may be repeated or reordered."""
        own = {name: [values[row] for row in rows] for name, values in self.per_row().items()}
        return dataclasses.replace(self, **own) if own else self

    def of_row(self, row: int) -> Self:
        """Return the transform that one row sees, with one value for each parameter."""
        own = {name: values[row] for name, values in self.per_row().items()}
        return dataclasses.replace(self, **own) if own else self

    @overload
    def __call__(self, logits: np.ndarray | Lists, **given: Unpack[Given]) -> np.ndarray: ...

    @overload
    def __call__(self, logits: Array, **given: Unpack[Given]) -> Array: ...

    @quietly
    def __call__(
        self,
        logits: Logits,
        *,
        history: TokenIds | None = None,
        prompt_length: Integers = 0,
        seed: Seed = None,
        step: Integers = 0,
    ) -> ArrayLike:
        """Apply to logits once.

        Args:
            logits: floating point, [vocab] or [batch, vocab], as a sampler takes them. Floats of 16
                bits and fewer give float32.
            history: token ids so far, [length] or [batch, length], -1 for padding. Transforms that
                do not depend on it leave it unread.
            prompt_length: how many columns of the history are the prompt (padding in them counts
                as a column, so that prompts of one width have one length), the rest counts as
                generated; an integer, or one for each row.
            seed: for a transform that tosses a coin (`XTC`): as in a call of a sampler.
            step: the same; without a coin it changes nothing.

        Returns:
            logits of the same shape and array type, on the same device; a removed token is -inf.

        Raises:
            ValueError: logits of a wrong rank or dtype, or with NaN; a parameter with one value per
                row, or a history or prompt_length, for another number of rows; a seed where there
                is no coin, since nothing is drawn here.
        """
        tosses = self.chance() is not None
        if seed is not None and not tosses:
            raise ValueError(
                f"{type(self).__name__} returns logits and draws nothing, so that a seed does "
                f"nothing: leave it out, or draw: ls.Sampler({type(self).__name__}(...))(logits, "
                f"seed={seed!r})"
            )
        coin = (seed, step) if tosses else ()
        taken = self.admit(take_in(logits, history, prompt_length, *coin, *self.tensors()))
        taken, (state,) = states_of((self,), taken, history, prompt_length)
        distribution = taken.distribution
        if tosses:
            distribution = distribution.seeded(*seeds_and_steps(seed, step, taken))
        return taken.restore(self.apply(distribution, state).dense())

    def get_config(self) -> dict[str, Any]:
        """Return name and parameters as JSON has them: null is -inf, and "inf" is +inf.

        Raises:
            ValueError: one is a tensor of a graph.
        """
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name, value in values.items():
            if is_symbolic(value):
                raise ValueError(
                    f"{type(self).__name__} has no configuration, since JSON cannot hold the "
                    f"tensor of a graph that is its `{name}`; build it with a number"
                )
        return {"name": self._name()} | {name: _plain(value) for name, value in values.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the transform that `get_config` described.

        Raises:
            ValueError: no transform has that name, or it has no such parameter.
        """
        if not isinstance(config, dict):
            raise ValueError(f"no configuration of a transform: {config!r}")
        parameters = {key: _frozen(value) for key, value in config.items() if key != "name"}
        name = str(config.get("name"))
        try:
            return Transform.called(name)(**parameters)  # type: ignore[return-value]
        except TypeError as error:
            raise ValueError(f"{name} does not fit {parameters}: {error}") from None

    @staticmethod
    def called(name: str) -> type["Transform"]:
        """Return the class that has this name in a configuration.

        Raises:
            ValueError: there is none.
        """
        known = Transform._classes
        if name not in known:  # ours are imported when first used
            package = import_module("logit_sampling.strategies")
            for public in package.__all__:
                getattr(package, public)
        if name not in known:
            raise ValueError(f"no transform is called {name!r}; known: {', '.join(sorted(known))}")
        return known[name]


setattr(Transform, AUTOGRAPH_SKIPS, {})  # for calls, which AutoGraph looks up on the object


@dataclasses.dataclass(frozen=True)
class Strategy(Transform):
    """A transform that is written for a `Distribution`: once, for eager code and for graphs.

    Its `apply` takes a distribution and returns one; called with arrays it takes them in and
    returns arrays.

    Example:
        >>> import dataclasses, numpy as np, logit_sampling as ls
        >>> @dataclasses.dataclass(frozen=True)
        ... class AboveTheMean(ls.Strategy):
        ...     def apply(self, distribution, state=()):
        ...         mean = -np.log(distribution.vocab_size)
        ...         return distribution.at_least(mean + distribution.log_total())
        >>> AboveTheMean()(np.log([0.5, 0.3, 0.2])).round(2)
        array([-0.69,  -inf,  -inf])
    """

    _on_arrays: ClassVar[bool] = False

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        """Return the distribution that it makes of another.

        It asks for what `logit_sampling.distribution.protocol.Distribution` has, and computes with
        `distribution.xp`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not write `apply`")


def start(
    transform: Transform, history: Any, prompt_length: Any, vocab_size: int, capacity: int = 0
) -> Any:
    """Return the state of a transform after a whole history, int [batch, length].

    Its first `prompt_length` columns (see `as_prompt_length`) are the prompt; None for all.

    Raises:
        ValueError: the length of the history is open in a graph and the transform depends on it.
    """
    init: Any = transform.init  # of a signature that `_asked` knows
    asked = {"capacity": capacity} if "capacity" in transform._asked else {}
    if transform.reads_history():
        return init(history, vocab_size, prompt_length=prompt_length, **asked)
    if prompt_length is None:
        return init(history, vocab_size, **asked)
    xp, ids, given = parted(history, prompt_length)
    prompts, generated = xp.where(given, ids, -1), xp.where(given, -1, ids)
    known = not is_symbolic(prompt_length)
    prompts = prompts[:, : np.max(prompt_length)] if known else prompts
    state = init(prompts, vocab_size, **asked)
    if not transform.is_stateful():
        return state
    check_columns(history)
    for column in range(np.min(prompt_length) if known else 0, history.shape[1]):
        tokens = generated[:, column]
        if xp is not np or (tokens >= 0).any():  # padding alone changes nothing
            state = transform.update(state, tokens)
    return state


def go_on(
    transform: Transform, state: Any, ids: Any, distribution: Callable[[], Distribution]
) -> Any:
    """Return the state after `ids` were drawn from what became of a distribution, if it asks."""
    update: Any = transform.update
    if "distribution" in transform._asked:
        return update(state, ids, distribution=distribution())
    return update(state, ids)


def states_of(
    transforms: Sequence[Transform], taken: Intake, history: Any, prompt_length: Any
) -> tuple[Intake, list[Any]]:
    """Return the state of each transform after a history, as a call of a sampler gives it.

    In a graph, where nothing can raise, a prompt that is longer than the history leaves its row no
    distribution.
    """
    past = as_history(history, taken.rows)
    lengths = as_prompt_length(prompt_length, past)
    if is_symbolic(lengths):
        from logit_sampling.distribution.tensors import beyond

        lost = beyond(lengths, past)
        taken = taken._replace(distribution=taken.distribution.without_rows(lost))
    vocab_size = taken.distribution.vocab_size
    return taken, [start(t, past, lengths, vocab_size) for t in transforms]


def check_parameter(owner: str, field: dataclasses.Field[Any], value: Any, taken: Intake) -> Intake:
    """Return what was taken in, if a parameter fits its rows.

    In a graph the rows for which a tensor is out of range lose their distribution.

    Raises:
        ValueError: it has values for another number of rows.
    """
    if is_number(field) and isinstance(value, tuple):
        _check_count(owner, field.name, len(value), taken.rows)
    elif isinstance(value, Symbol):
        from logit_sampling.distribution.tensors import outside, row_count

        if value.tensor.ndim and isinstance(row_count(value.tensor), int):
            _check_count(owner, field.name, row_count(value.tensor), taken.rows)
        lost = outside(value, field.metadata, taken.rows)
        return taken._replace(distribution=taken.distribution.without_rows(lost))
    return taken


def _check_count(owner: str, name: str, count: int, rows: Any) -> None:
    known = rows if isinstance(rows, int) else "an open number of"
    if known != count:
        raise ValueError(
            f"{owner} has {count} values of `{name}` for {known} rows of logits; give one value, "
            "or one per row"
        )


def _plain(value: Any) -> Any:
    """Return what JSON can hold: lists for tuples and arrays, numbers for NumPy's."""
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else None
    return value


def _frozen(value: Any) -> Any:
    """Return tuples for lists, so that a transform can be hashed."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
