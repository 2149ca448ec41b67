"""The sampler: a chain of transforms and one draw."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Never, Self, Unpack, overload

import numpy as np

from logit_sampling.distribution.arrays import all_to_numpy, in_graph, to_numpy
from logit_sampling.distribution.compiled import Program
from logit_sampling.distribution.decorators import AUTOGRAPH_SKIPS, as_written, quietly
from logit_sampling.distribution.intake import Intake, seeds_and_steps, take_in
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.random import row_seeds
from logit_sampling.strategies._history import as_history
from logit_sampling.strategies.transform import Transform, go_on, start, states_of
from logit_sampling.types import (
    Array,
    ArrayLike,
    Given,
    Integers,
    Lists,
    Logits,
    Order,
    Seed,
    TokenIds,
    Tokens,
)

if TYPE_CHECKING:
    from logit_sampling.explain import Decode
    from logit_sampling.interop.keras_hub import KerasHubSampler


class State(NamedTuple):
    """What a sampler carries from one step to the next."""

    seed: ArrayLike  # uint32 [batch, 2]: the two words of each row's seed
    step: ArrayLike  # int32 [batch]: how many tokens each row holds, the position of the next
    transforms: tuple[Any, ...]  # the state of each transform


def _apply(transform: Transform, state: Any, distribution: Distribution) -> Distribution:
    return transform.apply(distribution, state)


class _Stages:
    """The distribution as it came in, after each transform, and that of the draw.

    Each is made when it is needed: where the kernels apply transforms, nobody may ask for it.
    """

    def __init__(
        self, distribution: Distribution, steps: Sequence[Callable[[Distribution], Distribution]]
    ) -> None:
        self._known, self._steps = [distribution], steps

    @quietly
    def __getitem__(self, place: int) -> Any:
        if place < 0:
            place += len(self._steps) + 1
        while len(self._known) <= place:
            self._known.append(self._steps[len(self._known) - 1](self._known[-1]))
        return self._known[place]


class Pending(NamedTuple):
    """A step whose logits went through the chain, and whose tokens are not accepted yet.

    Tokens and other numbers are arrays of the engine; `restore` gives them the caller's type.
    """

    sampler: "Sampler"
    taken: Intake
    stages: _Stages
    state: State
    inactive: Any = None  # bool [batch]: rows that take no part

    def _distribution(self, stage: int) -> Distribution:
        """Return the distribution after so many stages, of rows that may be looked at."""
        distribution = self.stages[stage]
        if self.inactive is None or self.taken.symbolic:
            return distribution
        return distribution.force(np.where(self.inactive, 0, -1))  # nothing raises for them

    def drawn(self, log_probs: int = 0) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Return what the kernels draw, in eager code, if they serve it: see `Program.drawn`.

        What they see as the row as it came in is that before the part of the chain that they apply.
        """
        first, program = self.sampler._compiled
        if program is None or self.taken.symbolic:
            return None
        distribution = self.stages[first]
        kernels = program.kernels_for(distribution.whole)
        if kernels is None:
            return None
        seeds = np.ascontiguousarray(distribution.seeds, np.uint32).reshape(-1, 2)
        steps = np.ascontiguousarray(distribution.steps, np.int32)
        return program.drawn(kernels, distribution.whole, seeds, steps, log_probs)

    @property
    def whole_chain(self) -> bool:
        """Whether the kernels apply all of the chain."""
        return self.sampler._compiled[0] == 0

    @quietly
    def left(self, rows: Sequence[int]) -> Any:
        """Return what the chain leaves of some rows; in eager code alone."""
        first, _ = self.sampler._compiled
        distribution = self.stages[first]
        seeds, steps = np.asarray(self.state.seed, np.uint32), np.asarray(self.state.step)
        some = distribution.select(rows).seeded(seeds[rows], steps[rows])
        return self.sampler.of_rows(rows)._applied(first, some)

    @quietly
    def draw(self, with_log_prob: bool = False) -> Any:
        """Draw a token for each row, int32 [batch]; -1 for an inactive row.

        Args:
            with_log_prob: whether to return its log-probability too, float32 [batch].

        Raises:
            ValueError: in eager code, a row has nothing left to draw from.
        """
        by_kernels = self._drawn_and_left(with_log_prob)
        if by_kernels is not None:
            ids, log_prob = by_kernels
        else:
            distribution = self._distribution(-1)
            ids = distribution.draw()
            log_prob = distribution.log_prob(ids) if with_log_prob else None
            if self.inactive is not None:
                ids = distribution.xp.where(self.inactive, -1, ids)
        return (ids, log_prob) if with_log_prob else ids

    def _drawn_and_left(self, with_log_prob: bool) -> tuple[np.ndarray, Any] | None:
        """Return what the kernels draw, and NumPy for the rows that they leave; None for an error.

        Then NumPy draws for all, and raises it.
        """
        drawn = self.drawn(log_probs=int(with_log_prob))
        if drawn is None:
            return None
        ids, log_prob = drawn[0], drawn[1][:, :1].ravel().astype(np.float32)
        if self.inactive is not None:
            ids[self.inactive] = 0
        left = np.flatnonzero(ids < 0).tolist()
        if len(left) == len(ids):
            return None
        if left:
            try:
                distribution = self.left(left)
                ids[left] = distribution.draw()
                if with_log_prob:
                    log_prob[left] = distribution.log_prob(ids[left])
            except ValueError:
                return None
        if self.inactive is not None:
            ids[self.inactive] = -1
        return ids, log_prob

    @quietly
    def logits(self) -> Any:
        """Return what the chain leaves: float [batch, vocab], -inf for a removed token."""
        return self.stages[-1].dense()

    @quietly
    def log_prob(self, ids: Any) -> Any:
        """Return the log-probability of each token in the distribution of the draw, [batch]."""
        return self._distribution(-1).log_prob(ids)

    @quietly
    def accept(self, ids: Any) -> State:
        """Return the state after `ids`, int32 [batch], -1 for an inactive row."""
        seed, states = self.state.seed, self.state.transforms
        step: Any = self.state.step
        updated = tuple(
            go_on(transform, own, ids, functools.partial(self._distribution, i))
            for i, (transform, own) in enumerate(zip(self.sampler.transforms, states, strict=True))
        )
        following = step + 1
        if self.inactive is not None:
            following = self.stages[0].xp.where(self.inactive, step, following)
        return State(seed, following, updated)

    def select(self, rows: Sequence[int]) -> "Pending":
        """Return the step of some rows, which may be repeated or reordered; in eager code alone."""
        places = np.asarray(rows, np.intp)
        seed, step, states = self.state
        transforms, steps = self.sampler.transforms, range(len(self.sampler.transforms) + 1)
        own = (t.select(s, places) for t, s in zip(transforms, states, strict=True))
        kept = [self.stages[place].select(rows) for place in (*steps, -1)]
        return self._replace(
            sampler=self.sampler.of_rows(rows),
            stages=_Stages(kept[0], [functools.partial(lambda s, _: s, s) for s in kept[1:]]),
            state=State(seed[places], step[places], tuple(own)),
            inactive=None if self.inactive is None else self.inactive[places],
        )

    def restore(self, result: Any) -> Any:
        """Return a result in the array type of the logits, without a batch axis of ours."""
        return self.taken.restore(result)


class Sampler:
    """Logits in, token ids out: transforms applied left to right, then one draw.

    Equal logits, seed and step give the same token in any batch, on any engine and in any process.
    The draw uses exactly the distribution that `probabilities` returns: one uniform number, then
    a search in the cumulative sum over the token ids that are left.

    Args:
        *transforms: the chain; none samples from the whole distribution.

    Raises:
        ValueError: one of them is no transform.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> logits = np.log([0.5, 0.25, 0.125, 0.125])
        >>> sampler = ls.Sampler(ls.Temperature(0.5), ls.TopK(2))
        >>> sampler
        Sampler(Temperature(temperature=0.5), TopK(k=2))
        >>> sampler.probabilities(logits)
        array([0.8, 0.2, 0. , 0. ], dtype=float32)
        >>> int(sampler(logits, seed=7))
        1
    """

    def __init__(self, *transforms: Transform, **params: Never) -> None:
        if params:
            written = ", ".join(f"{name}={params[name]!r}" for name in params)
            raise ValueError(
                f"a sampler takes transforms such as TopK(50), got {', '.join(params)} by name; "
                f"settings by their names are taken by Sampler.from_params({written})"
            )
        for transform in transforms:
            if not isinstance(transform, Transform):
                way = "pass several as separate arguments, "
                way += "and put the class's parameters in parentheses"
                if isinstance(transform, Sampler):
                    way = "that is a sampler itself: its transforms go into one, Greedy(TopK(5))"
                elif isinstance(transform, str):
                    way = f"a line of text is read by Sampler.parse({transform!r})"
                raise ValueError(
                    f"a sampler takes transforms such as TopK(50), got {transform!r}; {way}"
                )
        self._transforms = transforms
        # What a call need not ask again.
        self._tensors = tuple(tensor for t in transforms for tensor in t.tensors())
        self._to_check = tuple(
            t for t in transforms if t.per_row() or t.tensors() or t.token_ids_named()
        )
        self._stateless = all(type(t).init is Transform.init for t in transforms)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """The chain, in the order in which it is applied."""
        return self._transforms

    def of_rows(self, rows: Sequence[int]) -> "Sampler":
        """Return the sampler that some rows see.

        Args:
            rows: their numbers, which may be repeated or reordered.

        Example:
            >>> import logit_sampling as ls
            >>> ls.Sampler(ls.Temperature([0.2, 1.0]), ls.TopK(2)).of_rows([1, 1, 0])
            Sampler(Temperature(temperature=(1.0, 1.0, 0.2)), TopK(k=2))
        """
        if not any(transform.per_row() for transform in self._transforms):
            return self
        return type(self)(*(transform.of_rows(rows) for transform in self._transforms))

    def get_config(self) -> dict[str, Any]:
        """Return the chain as data that JSON can hold."""
        return {
            "name": type(self).__name__,
            "transforms": [t.get_config() for t in self._transforms],
        }

    @classmethod
    @as_written
    def from_params(
        cls, *, order: Order = "default", defaults: bool = False, **params: object
    ) -> Self:
        """Build a chain from the parameters that other systems know, under their names.

        A parameter acts if it is passed. One that is left out, is None, or has the value that means
        off leaves its transform out; a sub-parameter that is left out has the system's default
        (`xtc_threshold` 0.1, llama.cpp's `repeat_last_n` 64); one that is off, such as
        `repeat_last_n` 0, switches off what it belongs to. Each number may be an array with one
        value per row, off values included, or a tensor of a graph, whose transform is always there
        and does nothing where its value means off.

        Args:
            order: whose chain it is, so that the same settings give the same distribution:
                `"default"`, `"hf"` (Hugging Face generate), `"vllm"`, `"llama.cpp"` or
                `"keras_hub"`. It decides the order, the values that mean off, and which names
                are known. The default order is that of the list of parameters; `"written"` is
                the order in which they are passed.
            defaults: whether what that system has on by default acts too, where nothing is passed:
                llama.cpp's temperature 0.8, top_k 40, top_p 0.95 and min_p 0.05; generate's top_k
                50 and do_sample False.
            **params: by name; `help("logit_sampling.settings")` lists all, with the values
                that mean off and the names that other systems have for them; the ranges are those
                of the strategies.

        Raises:
            ValueError: a name is unknown, or unknown to that system; a parameter has no effect,
                such as `xtc_threshold` without `xtc_probability` or `top_p` at temperature 0;
                a value is out of range, or one that the system rejects; a tensor of a graph for a
                parameter on which the chain itself depends.

        Example:
            >>> import logit_sampling as ls
            >>> ls.Sampler.from_params(top_p=0.95, temperature=0.8, top_k=0)
            Sampler(Temperature(temperature=0.8), TopP(p=0.95))
            >>> ls.Sampler.from_params(order="llama.cpp", temp=0.7, top_p=0.95)
            Sampler(TopP(p=0.95), Temperature(temperature=0.7))
            >>> ls.Sampler.from_params(order="written", min_p=0.1, temperature=2, top_k=9)
            Sampler(MinP(p=0.1), Temperature(temperature=2.0), TopK(k=9))
        """
        from logit_sampling.settings import chain_of

        return cls(*chain_of(params, order, defaults))

    @staticmethod
    def parse(text: str) -> "Sampler":
        """Build a chain from one line of text, as the command line and files have it.

        Args:
            text: settings as `name=value`, separated by spaces or commas, with the names and the
                order of `from_params` ("order=llama.cpp temp=0.7", "defaults=true" among them;
                "-" in a name is "_"). A value is a number, true, false, none, a word, or JSON, such
                as [1, 2] or {"5": -1.0}. "greedy" before or among them takes the likeliest token
                of what they leave, and "sample" alone is the model's own distribution. Before all
                a name and a colon may stand, which is for tables.

        Raises:
            ValueError: it cannot be read, or what `from_params` raises.

        Example:
            >>> import logit_sampling as ls
            >>> ls.Sampler.parse("temperature=0.8 top_k=50")
            Sampler(Temperature(temperature=0.8), TopK(k=50))
            >>> ls.Sampler.parse("greedy repetition_penalty=1.2 repeat_last_n=64")
            Greedy(RepetitionPenalty(penalty=1.2, window=64, prompt=True, normalize=False))
        """
        from logit_sampling.settings.written import parse

        line = parse(text)
        if line.kind not in ("sample", "greedy"):
            raise ValueError(
                f"sampler {text!r} is a search and no chain: give `generate` an ls.BeamSearch or "
                "ls.ContrastiveSearch as `search`"
            )
        return (Greedy if line.kind == "greedy" else Sampler)(*line.chain)

    @staticmethod
    def from_config(config: dict[str, Any]) -> "Sampler":
        """Return the sampler that `get_config` described.

        Raises:
            ValueError: an unknown name or parameter, or a value out of range.
        """
        classes = {"Sampler": Sampler, "Greedy": Greedy}
        match config:
            case {"name": "Sampler" | "Greedy" as name, "transforms": list(chain)}:
                return classes[name](*(Transform.from_config(c) for c in chain))
        raise ValueError(f"no configuration of a Sampler or Greedy: {config!r}")

    def for_keras_hub(self, *, seed: int | Sequence[int] | None = None) -> "KerasHubSampler":
        """Return the chain as a KerasHub sampler, for `causal_lm.compile(sampler=...)`.

        It writes the tokens that `generate` writes here after the same ids with the same seed:
        each row draws by its own seed, and what counts as its history and its prompt is its own,
        also where prompts of different lengths share a batch. All of KerasHub's modes serve
        (`jit_compile` True or False, `run_eagerly`), with TensorFlow and JAX. A row that has
        stopped is not written further; `KerasHubSampler` tells of rows that nothing can be drawn
        for. (From a string KerasHub makes ids with a start token, even where the preprocessor has
        `add_start_token=False`, which we follow.)

        Args:
            seed: as in a call of a sampler. The same each time `generate` is called, unless it is
                None, which begins with a random one; the attribute `seed` of the result tells
                it and sets it, and nothing is compiled again.

        Returns:
            a `keras_hub.samplers.Sampler`; it goes through `keras_hub.samplers.serialize`.

        Raises:
            ValueError: `seed` holds something else than integers; the chain has `Grammar` or
                `Guidance`, which are no part of graphs, and need `generate` of this library.

        Example:
            >>> import logit_sampling as ls
            >>> sampler = ls.Sampler(ls.RepetitionPenalty(1.2), ls.TopP(0.9))
            >>> causal_lm.compile(sampler=sampler.for_keras_hub(seed=7))  # doctest: +SKIP
            >>> causal_lm.generate("ROMEO:", max_length=64)               # doctest: +SKIP
        """
        from logit_sampling.interop.keras_hub import KerasHubSampler

        return KerasHubSampler(self, seed)

    @staticmethod
    def from_keras_hub(sampler: object) -> "Sampler":
        """Return the sampler that draws from the distribution that a KerasHub sampler draws from.

        Its seed stays behind: here it belongs to a call.

        Args:
            sampler: a `GreedySampler`, `RandomSampler`, `TopKSampler` or `TopPSampler`, its
                name ("top_k") or its configuration; or what `for_keras_hub` returned.

        Raises:
            ValueError: one that searches or drafts, since that is no chain (the message says what
                does it here); one with code of its own; a value out of range.

        Example:
            >>> import keras_hub, logit_sampling as ls
            >>> ls.Sampler.from_keras_hub(keras_hub.samplers.TopKSampler(k=5, temperature=0.7))
            Sampler(Temperature(temperature=0.7), TopK(k=5))
        """
        from logit_sampling.interop.keras_hub import from_keras_hub

        return from_keras_hub(sampler)

    def for_transformers(
        self,
        *,
        draw: bool = False,
        seed: int | Sequence[int] | None = None,
        attention_mask: ArrayLike | None = None,
        pad_token_id: int | None = None,
        eos_token_id: int | Sequence[int] = (),
    ) -> Callable[[ArrayLike, ArrayLike], ArrayLike]:
        """Return the chain as an entry of the `logits_processor` of transformers' `generate`.

        It masks the logits, and `generate` draws. The prompts are what the first call is given;
        what comes behind them is generated, and states are carried on (`Mirostat` learns from the
        tokens that `generate` drew). Make one for each `generate`: used again it begins anew,
        but longer prompts that begin with those before raise, since it could not tell what of them
        was generated (one token more than it has seen is taken for generated).

        `generate` applies its own settings too: penalties and constraints before this entry, and
        with `do_sample=True` its temperature, top_k, top_p and the like behind it. For a chain of
        ours alone pass `do_sample=True, temperature=1.0, top_k=0, top_p=1.0`, or whatever undoes
        the model's generation_config; with `Greedy` pass `do_sample=False`.

        With `draw=True` the token is drawn here: it gets the logit 0, all others -inf, so that
        `generate` can take no other, with `do_sample` or without. The same seed then writes
        what `logit_sampling.generate` writes. Of beams and drafts `TransformersProcessor`
        tells.

        Args:
            draw: whether the tokens are drawn here.
            seed: as in a call of a sampler; for the draw, and for a transform that tosses a coin
                (`XTC`).
            attention_mask: [batch, length] as the tokenizer returns it beside the prompts, 0 for
                padding, which is no history. Also for several texts of a prompt.
            pad_token_id: instead of it, the token at the left of shorter prompts: all that a row
                begins with is padding. None if all have the same length.
            eos_token_id: the tokens at which `generate` ends a row: what it fills up behind
                them is no history, and nothing raises for it.

        Returns:
            a `transformers.LogitsProcessor`, where that can be imported; it takes and returns
            torch tensors, or arrays of another library. It raises ValueError for a row that nothing
            can be drawn from.

        Raises:
            ValueError: `eos_token_id` holds something else than token ids, or `attention_mask`
                something else than 0 and 1; when it is called, a mask that does not belong to the
                prompts, or prompts that all begin with `pad_token_id`, which may be a start token
                of theirs.

        Example:
            >>> import numpy as np, logit_sampling as ls
            >>> entry = ls.Sampler(ls.RepetitionPenalty(2.0), ls.TopK(2)).for_transformers()
            >>> entry(np.array([[0, 1]]), np.array([[2.0, 4.0, 1.5]], np.float32))
            array([[-inf,  2. ,  1.5]], dtype=float32)
            >>> model.generate(**tokens, do_sample=True, top_k=0,  # doctest: +SKIP
            ...                logits_processor=[entry])
        """
        from logit_sampling.interop.transformers import TransformersProcessor

        return TransformersProcessor(self, draw, seed, attention_mask, pad_token_id, eos_token_id)

    @classmethod
    def from_generation_config(cls, config: object, **overrides: object) -> Self:
        """Return the sampler that draws as `generate` of transformers does with a configuration.

        What a `GenerationConfig` leaves open (None) has the value that `generate` gives it:
        `do_sample` is False, and `top_k` is 50. What does nothing there does nothing here: the
        settings of sampling without `do_sample`, `eos_token_id` without a minimal length.
        Settings that do not change the distribution of a token are passed over, those of length,
        stopping, output, cache and speed; `logit_sampling.settings.generation_config` lists
        them. So are names in `config` that are no settings, but a model's own (`lang_to_id`,
        `max_window_size`), as `generate` does; what looks like a slip of a setting's name
        raises. A setting that changes the distribution and that no transform has raises.

        Args:
            config: a `GenerationConfig`, or a mapping such as `generation_config.json` holds.
            **overrides: settings that come before those of `config`, as in `generate`.

        Raises:
            ValueError: beams, contrastive search or another setting that no chain has; a name in
                `overrides` that `generate` does not know; one in `config` that is a slip of a
                setting's (`temprature`) or a setting of another system; a value out of range; a
                minimal length without `eos_token_id`, `forced_eos_token_id` without a length,
                `guidance_scale` without `unconditional`.

        Example:
            >>> import logit_sampling as ls
            >>> config = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 2}
            >>> ls.Sampler.from_generation_config(config)
            Sampler(Temperature(temperature=0.6), TopK(k=50), TopP(p=0.9))
        """
        from logit_sampling.settings.generation_config import chain_from

        return cls(*chain_from(config, overrides))

    @overload
    def __call__(self, logits: np.ndarray | Lists, **given: Unpack[Given]) -> np.ndarray: ...

    @overload
    def __call__(self, logits: Array, **given: Unpack[Given]) -> Array: ...

    @quietly
    def __call__(
        self,
        logits: Logits,
        *,
        seed: Seed = None,
        step: Integers = 0,
        history: TokenIds | None = None,
        prompt_length: Integers = 0,
    ) -> ArrayLike:
        """Draw one token for each row.

        Args:
            logits: floating point, [vocab] or [batch, vocab]: an array or tensor of any library
                (eager, or of a graph that is being traced), a list of rows, or an object or mapping
                that names them `logits`; what a masked array hides is -inf.
            seed: an integer s (row 0 uses s, row i > 0 a 64-bit hash of s and i), one integer per
                row, or None for fresh entropy. A JAX key counts as the integer of its words.
            step: the position in the sequence, an integer of at least 0, or one per row.
            history: token ids so far, [length] or [batch, length], -1 for padding. An id
                that the logits do not have, as of an image in a text, never counts either.
            prompt_length: how many columns of the history are the prompt (padding in them counts
                as a column, so that prompts of one width have one length), the rest counts as
                generated; an integer, or one for each row.

        Returns:
            token ids, int32, of shape `logits.shape[:-1]`, in the array type of the logits (of a
            list: of its rows) and on their device. In a compiled graph, where nothing can raise, a
            row without a distribution gives -1.

        Raises:
            ValueError: logits of a wrong rank or dtype; in eager code a row with NaN, or with no
                token above -inf; a seed, step or history for another number of rows.
        """
        program = self._program
        if history is None and type(prompt_length) is int and not prompt_length and program:
            ids = program.draw(logits, seed, step, self._chain_of_rows)
            if ids is not None:
                return ids
        taken, states = self._with_states(logits, history, prompt_length, seed, step)
        state = State(*seeds_and_steps(seed, step, taken), tuple(states))
        return taken.restore(self._begun(taken, state).draw())

    @functools.cached_property
    def _compiled(self) -> tuple[int, Program | None]:
        """From which transform on the kernels apply the chain and draw, and their program."""
        first = len(self._transforms)
        if self._tensors:
            return first, None
        while first and type(self._transforms[first - 1]).init is Transform.init:
            first -= 1
        for place in range(first, len(self._transforms) + 1):
            record = functools.partial(self._applied, place)
            coins = sum(t.chance() is not None for t in self._transforms[:place])
            program = Program.of(self._transforms[place:], record, coins)
            if program is not None:
                return place, program
        return len(self._transforms), None

    @functools.cached_property
    def _program(self) -> Program | None:
        """What the kernels make of the chain, if they apply all of it."""
        first, program = self._compiled
        return program if first == 0 else None

    def _applied(self, first: int, distribution: Any) -> Any:
        """Apply the transforms from one on, which have no states, and what the draw selects."""
        for transform in self._transforms[first:]:
            distribution = transform.apply(distribution, ())
        return self._selected(distribution)

    def _chain_of_rows(self, distribution: Distribution, rows: Sequence[int]) -> Distribution:
        """Apply a chain without states to some rows of a batch."""
        return self.of_rows(rows)._applied(0, distribution)

    @overload
    def probabilities(self, logits: np.ndarray | Lists, **given: Unpack[Given]) -> np.ndarray: ...

    @overload
    def probabilities(self, logits: Array, **given: Unpack[Given]) -> Array: ...

    @as_written
    @quietly
    def probabilities(
        self,
        logits: Logits,
        *,
        history: TokenIds | None = None,
        prompt_length: Integers = 0,
        seed: Seed = None,
        step: Integers = 0,
    ) -> ArrayLike:
        """Return the distribution of the draw, float32 of the shape of the logits; rows sum to 1.

        Arguments and errors are those of a sampler's call. Only a transform that tosses a coin
        (`XTC`) looks at `seed` and `step`; without a seed the result is the mixture over its
        outcomes.
        """
        taken, states = self._with_states(logits, history, prompt_length, seed, step)
        outcomes = self._outcomes(taken, states, seed, step)
        weighted = [(weight, left.probabilities()) for weight, left in outcomes]
        return taken.restore(mixture(taken.distribution.xp, weighted))

    @overload
    def log_prob(
        self, logits: np.ndarray | Lists, ids: Tokens, **given: Unpack[Given]
    ) -> np.ndarray: ...

    @overload
    def log_prob(self, logits: Array, ids: Tokens, **given: Unpack[Given]) -> Array: ...

    @as_written
    @quietly
    def log_prob(
        self,
        logits: Logits,
        ids: Tokens,
        *,
        history: TokenIds | None = None,
        prompt_length: Integers = 0,
        seed: Seed = None,
        step: Integers = 0,
    ) -> ArrayLike:
        """Return the log-probability of token ids, float32, in nats; -inf for a removed token.

        Args:
            logits: as in a call.
            ids: token ids, int, of shape `logits.shape[:-1]`.
            history: as in a call.
            prompt_length: as in a call.
            seed: as for `probabilities`.
            step: the same.

        Raises:
            ValueError: as in a call; an id outside the vocabulary, or ids of another shape.
        """
        taken, states = self._with_states(logits, history, prompt_length, seed, step, ids)
        if not taken.symbolic:
            ids, wanted = to_numpy(ids), (taken.rows,) if taken.batched else ()
            if ids.dtype.kind not in "iu" or ids.shape != wanted:
                raise ValueError(
                    f"ids must be integers of shape {wanted}, one for each row of logits; got "
                    f"{ids.dtype.name} of shape {ids.shape}"
                )
        outcomes = self._outcomes(taken, states, seed, step)
        weighted = [(weight, left.log_prob(ids)) for weight, left in outcomes]
        return taken.restore(log_mixture(taken.distribution.xp, weighted))

    @as_written
    @quietly
    def explain(
        self,
        logits: Logits,
        *,
        history: TokenIds | None = None,
        prompt_length: Integers = 0,
        seed: Seed = None,
        step: Integers = 0,
        top: int = 10,
        decode: "Decode | None" = None,
    ) -> Any:
        """Tell what each stage of the chain does: tokens and mass removed, entropy, the top tokens.

        Args:
            logits: as in a call, but not of a graph.
            history: as in a call.
            prompt_length: as in a call.
            seed: as in a call; with one the token that it draws is shown too. `XTC` tosses its
                coin as in a call, by the seed or afresh.
            step: as in a call.
            top: how many of the likeliest tokens to show, before the chain and after it.
            decode: for the texts of tokens: list of ids -> text, or a list with the text of each.

        Returns:
            an `Explanation` (print it, or call its `plot(path)` or `to_dict()`); for logits
            [batch, vocab] a tuple with one for each row. A chain that leaves a row nothing to draw
            from is explained too.

        Raises:
            ValueError: as in a call; in a graph; `top` below 1; texts for fewer tokens than
                there are.

        Example:
            >>> import numpy as np, logit_sampling as ls
            >>> chain = ls.Sampler(ls.Temperature(0.5), ls.TopK(2))
            >>> for stage in chain.explain(np.log([0.5, 0.25, 0.125, 0.125])).stages:
            ...     print(stage.name, stage.removed, round(stage.removed_mass, 4))
            Temperature(temperature=0.5) 0 0.0
            TopK(k=2) 2 0.0909
        """
        from logit_sampling.explain import check_arguments, explain_rows

        if in_graph(logits, history, prompt_length, seed, step, *self._tensors):
            raise ValueError(
                "explain needs numbers, and a graph that is traced has none: call it "
                "in eager code, outside tf.function and jax.jit"
            )
        taken, states = self._with_states(logits, history, prompt_length, seed, step)
        check_arguments(top, decode, taken.distribution.vocab_size)
        seeded = taken.distribution.seeded(*seeds_and_steps(seed, step, taken))
        passed = list(self._stages(seeded, states))
        selector = f"{type(self).__name__}()"
        rows = explain_rows(passed, self._transforms, selector, seed is not None, top, decode)
        return rows if taken.batched else rows[0]

    @as_written
    def init(
        self,
        prompt_ids: TokenIds,
        vocab_size: int,
        *,
        seed: Seed = None,
        max_new_tokens: int | None = None,
    ) -> State:
        """Return the state before the first step.

        Positions are those of the whole sequence: the first token drawn has as its step the length
        of its prompt, so that going on from a longer prompt with the same seed gives the same text.

        Args:
            prompt_ids: int [length] or [batch, length], -1 for padding, or a list of lists.
            vocab_size: how many tokens the logits of the steps will have. Ids that a strategy names
                must be below it, and those of a prompt that are not never count. The state does not
                hold it: no step compares it with its logits.
            seed: as in a call.
            max_new_tokens: how many tokens the state must have room for, 1024 by default. In eager
                code it grows by itself; in a graph shapes are fixed, and a row that needs more
                gives the id -1.

        Raises:
            ValueError: ids that are no integers, or a seed for another number of rows.

        Example:
            >>> import numpy as np, logit_sampling as ls
            >>> sampler = ls.Sampler(ls.TopK(2))
            >>> state = sampler.init([[0, 1], [2]], vocab_size=4, seed=7)
            >>> state.step
            array([2, 1], dtype=int32)
            >>> ids, state = sampler.step(np.zeros((2, 4), np.float32), state)
            >>> ids, state.step
            (array([0, 1], dtype=int32), array([3, 2], dtype=int32))
        """
        history = as_history(prompt_ids)
        symbolic = in_graph(history, seed, *self._tensors)
        room = 1024 if max_new_tokens is None else max_new_tokens
        for transform in self._transforms:
            transform.check_vocabulary(vocab_size)
        states = tuple(start(t, history, None, vocab_size, room) for t in self._transforms)
        if symbolic:
            from logit_sampling.distribution import tensors

            seeds = tensors.seed_words(seed, tensors.row_count(history))
            return State(seeds, tensors.lengths(history), states)
        lengths = (history >= 0).sum(axis=1, dtype=np.int32)
        return State(row_seeds(seed, len(history)), lengths, states)

    @overload
    def step(
        self,
        logits: np.ndarray | Lists,
        state: State,
        *,
        return_log_prob: Literal[False] = False,
    ) -> tuple[np.ndarray, State]: ...

    @overload
    def step(
        self, logits: np.ndarray | Lists, state: State, *, return_log_prob: Literal[True]
    ) -> tuple[np.ndarray, State, np.ndarray]: ...

    @overload
    def step(
        self, logits: Array, state: State, *, return_log_prob: Literal[False] = False
    ) -> tuple[Array, State]: ...

    @overload
    def step(
        self, logits: Array, state: State, *, return_log_prob: Literal[True]
    ) -> tuple[Array, State, Array]: ...

    @as_written
    @quietly
    def step(
        self, logits: Logits, state: State, *, return_log_prob: bool = False
    ) -> tuple[ArrayLike, State] | tuple[ArrayLike, State, ArrayLike]:
        """Draw one token for each row, and take it into the state.

        Args:
            logits: as in a call.
            state: what `init` or the step before returned.
            return_log_prob: also return the log-probability of the tokens drawn.

        Returns:
            `(ids, state)`, or `(ids, state, log_prob)`.

        Raises:
            ValueError: as in a call.
        """
        program = self._program
        if not return_log_prob and program:
            ids = program.draw_next(logits, state.seed, state.step, self._chain_of_rows)
            if ids is not None:
                return ids, state._replace(step=to_numpy(state.step) + 1)
        pending = self.begin_step(logits, state)
        if not return_log_prob:
            ids = pending.draw()
            return pending.restore(ids), pending.accept(ids)
        ids, log_prob = pending.draw(with_log_prob=True)
        new = pending.accept(ids)
        return pending.restore(ids), new, pending.restore(log_prob)

    @as_written
    @quietly
    def begin_step(
        self, logits: Logits, state: State, inactive: ArrayLike | None = None
    ) -> Pending:
        """Apply the chain, and leave it to the caller which tokens are accepted.

        Args:
            logits: as in a call.
            state: as for `step`.
            inactive: bool [batch], rows that take no part, of the kind of array that `state`
                holds: ids of theirs are -1, and their state stays as it is.

        Raises:
            ValueError: as in a call, but that a row may have nothing left.
        """
        taken = self._checked(logits, state.seed, state.step)
        held = state.step.shape[0]
        if isinstance(taken.rows, int) and held not in (taken.rows, None):
            raise ValueError(f"the state holds {held} rows, logits have {taken.rows}")
        if not taken.symbolic:  # the state may come out of a compiled function
            state = all_to_numpy(state)
        return self._begun(taken, state, inactive)

    def _begun(self, taken: Intake, state: State, inactive: Any = None) -> Pending:
        """Apply what of the chain the kernels do not, of which nobody may ask for the rest."""
        steps = [
            functools.partial(_apply, transform, own)
            for transform, own in zip(self._transforms, state.transforms, strict=True)
        ]
        seeded = taken.distribution.seeded(state.seed, state.step)
        stages = _Stages(seeded, [*steps, self._selected])
        first, program = self._compiled
        stages[-1 if taken.symbolic or program is None else first]
        return Pending(self, taken, stages, state, inactive)

    def _with_states(
        self, logits: Any, history: Any, prompt_length: Any, *others: Any
    ) -> tuple[Any, list[Any]]:
        taken = self._checked(logits, history, prompt_length, *others)
        if history is None and self._stateless and type(prompt_length) is int and not prompt_length:
            return taken, [()] * len(self._transforms)
        return states_of(self._transforms, taken, history, prompt_length)

    def _checked(self, logits: Any, *others: Any) -> Intake:
        """Take in logits whose rows the parameters fit."""
        taken = take_in(logits, *others, *self._tensors)
        for transform in self._to_check:
            taken = transform.admit(taken)
        return taken

    def _stages(self, distribution: Distribution, states: Sequence[Any]) -> Iterator[Distribution]:
        """Yield the distribution as it came in, after each transform, and that of the draw."""
        yield distribution
        for transform, state in zip(self._transforms, states, strict=True):
            distribution = transform.apply(distribution, state)
            yield distribution
        yield self._selected(distribution)

    def _last_stage(self, distribution: Distribution, states: Sequence[Any]) -> Distribution:
        *_, last = self._stages(distribution, states)
        return last

    def _selected(self, distribution: Distribution) -> Distribution:
        """Return what the draw uses of what the chain leaves: all of it, of `Greedy` one token."""
        return distribution

    def _outcomes(
        self, taken: Any, states: Sequence[Any], seed: Any, step: Any
    ) -> list[tuple[Any, Any]]:
        """Return what the chain leaves for each way the coins may fall, and how likely that is."""
        tossing = [t.chance() for t in self._transforms if t.chance() is not None]
        chances = [taken.distribution.per_row(chance) for chance in tossing]
        if not chances:
            return [(1.0, self._last_stage(taken.distribution, states))]
        if seed is not None:
            distribution = taken.distribution.seeded(*seeds_and_steps(seed, step, taken))
            return [(1.0, self._last_stage(distribution, states))]
        falls = itertools.product((True, False), repeat=len(chances))
        return [
            (chance_of(coins, chances), self._last_stage(taken.distribution.fixed(coins), states))
            for coins in falls
        ]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._transforms))})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._transforms == self._transforms

    def __hash__(self) -> int:
        return hash((type(self), self._transforms))


class Greedy(Sampler):
    """Take the likeliest token after the chain; of equals the lower id.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> int(ls.Greedy()(np.array([1.0, 3.0, 3.0], np.float32)))
        1
        >>> ls.Greedy().probabilities(np.array([1.0, 3.0, 3.0], np.float32))
        array([0., 1., 0.], dtype=float32)
    """

    def _selected(self, distribution: Distribution) -> Distribution:
        return distribution.scale(0)


setattr(Sampler, AUTOGRAPH_SKIPS, {})  # for calls, which AutoGraph looks up on the object


def chance_of(coins: tuple[bool, ...], chances: list[Any]) -> Any:
    """Return how likely the coins fall so, for chances [batch] each."""
    return math.prod(c if coin else 1 - c for coin, c in zip(coins, chances, strict=True))


def mixture(xp: Any, weighted: list[tuple[Any, Any]]) -> Any:
    """Return the sum of distributions, float32 [batch, vocab], weighted by [batch].

    `xp` are functions on the arrays, `numpy` or `keras.ops`.
    """
    if len(weighted) == 1:
        return weighted[0][1]
    return sum(xp.array(w[:, None], dtype="float32") * rows for w, rows in weighted)


def log_mixture(xp: Any, weighted: list[tuple[Any, Any]]) -> Any:
    """Return the log of the weighted sum, from log-probabilities, float32 [batch]."""
    if len(weighted) == 1:
        return weighted[0][1]
    with np.errstate(divide="ignore"):
        logs = [xp.array(xp.log(w), dtype="float32") + log_prob for w, log_prob in weighted]
    return functools.reduce(xp.logaddexp, logs)
