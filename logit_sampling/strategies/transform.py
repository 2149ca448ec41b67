"""The protocol of a transform, and what all of them share."""

import dataclasses
import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Self

import numpy as np

from logit_sampling.distribution.arrays import is_symbolic, to_numpy
from logit_sampling.distribution.checks import check_number
from logit_sampling.distribution.intake import (
    AUTOGRAPH_SKIPS,
    Intake,
    quietly,
    seeds_and_steps,
    take_in,
)
from logit_sampling.distribution.symbol import Symbol
from logit_sampling.strategies.history import as_history, as_prompt_length, replay


@dataclasses.dataclass(frozen=True)
class Transform:
    """Logits in, logits out; a removed token is -inf.

    A subclass is a frozen dataclass that writes ``apply``. One that depends on the tokens so far
    also writes ``init`` and ``update``; what it carries from step to step is a value (arrays, or a
    tuple of them) that is passed in and comes back. Nothing on a transform changes. It gets NumPy
    arrays in eager code, whatever the caller holds, and tensors in a graph, where AutoGraph leaves
    it as it is written; to serve both it computes with ``keras.ops``.

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

    tosses_coin: ClassVar[bool] = False
    """Whether it tosses a coin for each row and step, with a chance of `probability`."""

    _classes: ClassVar[dict[str, type["Transform"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Transform._classes[cls._name()] = cls

    @classmethod
    def _name(cls) -> str:
        """Return the name in a configuration; that of a user's class says where it is from."""
        own = cls.__module__.startswith("logit_sampling.")
        return cls.__name__ if own else f"{cls.__module__}.{cls.__qualname__}"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if "ge" in field.metadata:
                checked = check_number(type(self).__name__, field, getattr(self, field.name))
                object.__setattr__(self, field.name, checked)

    def init(self, history: Any, vocab_size: int) -> Any:
        """Return the state before the first step.

        Args:
            history: int [batch, length], the prompt; -1 pads a shorter row.
            vocab_size: how many tokens there are.
        """
        return ()

    def apply(self, logits: Any, state: Any) -> Any:
        """Return the transformed logits, float [batch, vocab], like those given."""
        raise NotImplementedError(f"{type(self).__name__} does not write `apply`")

    def update(self, state: Any, ids: Any) -> Any:
        """Return the state after the tokens ``ids``, int [batch], were accepted; -1 is none."""
        return state

    def state_of(self, history: Any, prompt_length: Any, vocab_size: int) -> Any:
        """Return the state after a whole history, int [batch, length].

        Its first ``prompt_length`` columns, an int or one for each row, int32 [batch], are the
        prompt; the tokens in the others are accepted one by one.
        """
        return replay(self, history, prompt_length, vocab_size)

    def chance(self) -> Any:
        """Return the chance of its coin, a number or one for each row."""
        raise NotImplementedError(f"{type(self).__name__} tosses no coin")

    def after(self, scores: Any, state: Any, ids: Any) -> Any:
        """Return the state after ``ids`` were drawn: what a sampler calls.

        ``scores`` are those that ``act`` was given.
        """
        return self.update(state, ids)

    def end_tokens(self) -> tuple[int, ...]:
        """Return the tokens with which a text ends for it: what ``generate`` asks for.

        They end the texts of the sampler that it is part of, besides those of the model.
        """
        return ()

    @classmethod
    def is_stateful(cls) -> bool:
        """Tell whether it takes in the tokens that are accepted."""
        return cls.update is not Transform.update

    def act(self, scores: Any, state: Any) -> Any:
        """Apply to the scores of an engine: what a sampler calls."""
        return scores.replaced(self.apply(scores.dense(), state), type(self).__name__)

    def per_row(self) -> dict[str, tuple[float, ...]]:
        """Return the parameters that have a value for each row."""
        numbers = (f.name for f in dataclasses.fields(self) if "ge" in f.metadata)
        values = {name: getattr(self, name) for name in numbers}
        return {name: value for name, value in values.items() if isinstance(value, tuple)}

    def tensors(self) -> tuple[Any, ...]:
        """Return the parameters that are tensors of a graph."""
        numbers = (field.name for field in dataclasses.fields(self) if "ge" in field.metadata)
        values = (getattr(self, name) for name in numbers)
        return tuple(value for value in values if is_symbolic(value))

    def admit(self, taken: Intake) -> Intake:
        """Return what was taken in, if the parameters fit its rows (see ``within``)."""
        for field in dataclasses.fields(self):
            taken = within(type(self).__name__, field, getattr(self, field.name), taken)
        return taken

    def check_rows(self, rows: Any) -> None:
        """Raise ValueError unless each parameter has one value, or one for each of ``rows``."""
        for name, values in self.per_row().items():
            _check_count(type(self).__name__, name, len(values), rows)

    def select(self, state: Any, rows: np.ndarray) -> Any:
        """Return the state of some rows, int [n], which may be repeated or reordered.

        The first axis of each array in ``state`` is taken for its rows; what is no array with an
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

    @quietly
    def __call__(
        self,
        logits: Any,
        *,
        history: Any = None,
        prompt_length: Any = 0,
        seed: Any = None,
        step: Any = 0,
    ) -> Any:
        """Apply to logits once.

        Args:
            logits: floating point, [vocab] or [batch, vocab], as a sampler takes them. Floats of 16
                bits and fewer give float32.
            history: token ids so far, [length] or [batch, length], -1 for padding. Transforms that
                do not depend on it leave it unread.
            prompt_length: how many columns of the history are the prompt (padding in them counts
                as a column, so that prompts of one width have one length), the rest counts as
                generated; an integer, or one for each row.
            seed: for a transform that tosses a coin: as in a call of a sampler.
            step: the same.

        Returns:
            logits of the same shape and array type, on the same device; a removed token is -inf.

        Raises:
            ValueError: logits of a wrong rank or dtype, or with NaN; a parameter with one value per
                row, or a history or prompt_length, for another number of rows.
        """
        coin = (seed, step) if self.tosses_coin else ()
        taken = self.admit(take_in(logits, history, prompt_length, *coin, *self.tensors()))
        taken, (state,) = states_of((self,), taken, history, prompt_length)
        scores = taken.scores
        if self.tosses_coin:
            scores = scores.seeded(*seeds_and_steps(seed, step, taken))
        return taken.restore(self.act(scores, state).dense())

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
        """Return the transform that ``get_config`` described.

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

        taken = taken._replace(scores=taken.scores.without_rows(beyond(lengths, past)))
    return taken, [t.state_of(past, lengths, taken.scores.vocabulary) for t in transforms]


def within(owner: str, field: dataclasses.Field, value: Any, taken: Intake) -> Intake:
    """Return what was taken in, if a parameter fits its rows.

    In a graph the rows for which a tensor is out of range lose their distribution.

    Raises:
        ValueError: it has values for another number of rows.
    """
    if "ge" in field.metadata and isinstance(value, tuple):
        _check_count(owner, field.name, len(value), taken.rows)
    elif isinstance(value, Symbol):
        from logit_sampling.distribution.tensors import outside, row_count

        if value.tensor.ndim and isinstance(row_count(value.tensor), int):
            _check_count(owner, field.name, row_count(value.tensor), taken.rows)
        lost = outside(value, field.metadata, taken.rows)
        return taken._replace(scores=taken.scores.without_rows(lost))
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


setattr(Transform, AUTOGRAPH_SKIPS, {})  # for calls, which AutoGraph looks up on the object


@dataclasses.dataclass(frozen=True)
class ScoreTransform(Transform):
    """A stateless transform that looks at the scores alone, of all tokens or of the survivors."""

    def narrow(self, scores: Any) -> Any:
        """Return the scores of an engine, scaled or cut."""
        raise NotImplementedError(f"{type(self).__name__} does not write `narrow`")

    def act(self, scores: Any, state: Any) -> Any:
        """Apply to the scores of an engine: what a sampler calls."""
        return self.narrow(scores)

    @quietly
    def apply(self, logits: Any, state: Sequence[Any] = ()) -> Any:
        """Return the transformed logits, float [batch, vocab], like those given."""
        taken = self.admit(take_in(logits, *self.tensors()))
        return taken.restore(self.narrow(taken.scores).dense())
