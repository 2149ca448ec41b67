"""The sampler: a chain of transforms and one draw."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from logit_sampling.chain import Chain
from logit_sampling.distribution.arrays import all_to_numpy, in_graph
from logit_sampling.distribution.intake import AUTOGRAPH_SKIPS, as_written, quietly, seeds_and_steps
from logit_sampling.distribution.random import row_seeds
from logit_sampling.interop import Integrations
from logit_sampling.stepping import Pending, State
from logit_sampling.strategies.history import as_history, with_room
from logit_sampling.strategies.transform import Transform

if TYPE_CHECKING:
    from logit_sampling.explain import Decode


class Sampler(Chain, Integrations):
    """Logits in, token ids out: transforms applied left to right, then one draw.

    Equal logits, seed and step give the same token in any batch, on any engine and in any process.
    The draw uses exactly the distribution that ``probabilities`` returns: one uniform number, then
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

    @classmethod
    @as_written
    def from_params(cls, *, order: str = "default", defaults: bool = False, **params: Any) -> Self:
        """Build a chain from the parameters that other systems know, under their names.

        A parameter acts if it is passed. One that is left out, is None, or has the value that means
        off leaves its transform out; a sub-parameter that is left out has the system's default
        (``xtc_threshold`` 0.1, llama.cpp's ``repeat_last_n`` 64); one that is off, such as
        ``repeat_last_n`` 0, switches off what it belongs to. Each number may be an array with one
        value per row, off values included, or a tensor of a graph, whose transform is always there
        and does nothing where its value means off.

        Args:
            order: whose chain it is, so that the same settings give the same distribution:
                ``"default"``, ``"hf"`` (Hugging Face generate), ``"vllm"``, ``"llama.cpp"`` or
                ``"keras_hub"``. It decides the order, the values that mean off, and which names
                are known. The default order is that of the list of parameters.
            defaults: whether what that system has on by default acts too, where nothing is passed:
                llama.cpp's temperature 0.8, top_k 40, top_p 0.95 and min_p 0.05; generate's top_k
                50 and do_sample False.
            **params: by name; ``help("logit_sampling.settings")`` lists all, with their ranges, the
                values that mean off, and the names that other systems have for them.

        Raises:
            ValueError: a name is unknown, or unknown to that system; a parameter has no effect,
                such as ``xtc_threshold`` without ``xtc_probability`` or ``top_p`` at temperature 0;
                a value is out of range, or one that the system rejects; a tensor of a graph for a
                parameter on which the chain itself depends.

        Example:
            >>> import logit_sampling as ls
            >>> ls.Sampler.from_params(top_p=0.95, temperature=0.8, top_k=0)
            Sampler(Temperature(temperature=0.8), TopP(p=0.95))
            >>> ls.Sampler.from_params(order="llama.cpp", temp=0.7, top_p=0.95)
            Sampler(TopP(p=0.95), Temperature(temperature=0.7))
        """
        from logit_sampling.settings import chain_of

        return cls(*chain_of(params, order, defaults))

    @quietly
    def __call__(
        self,
        logits: Any,
        *,
        seed: int | Sequence[int] | None = None,
        step: Any = 0,
        history: Any = None,
        prompt_length: Any = 0,
    ) -> Any:
        """Draw one token for each row.

        Args:
            logits: floating point, [vocab] or [batch, vocab]: an array or tensor of any library
                (eager, or of a graph that is being traced), a list of rows, or an object or mapping
                that names them ``logits``; what a masked array hides is -inf.
            seed: an integer s (row 0 uses s, row i > 0 a 64-bit hash of s and i), one integer per
                row, or None for fresh entropy. A JAX key counts as the integer of its words.
            step: the position in the sequence, an integer of at least 0, or one per row.
            history: token ids so far, [length] or [batch, length], -1 for padding.
            prompt_length: how many columns of the history are the prompt (padding in them counts
                as a column, so that prompts of one width have one length), the rest counts as
                generated; an integer, or one for each row.

        Returns:
            token ids, int32, of shape ``logits.shape[:-1]``, in the array type of the logits (of a
            list: of its rows) and on their device. In a compiled graph, where nothing can raise, a
            row without a distribution gives -1.

        Raises:
            ValueError: logits of a wrong rank or dtype; in eager code a row with NaN, or with no
                token above -inf; a seed, step or history for another number of rows.
        """
        taken, states = self._take_in(logits, history, prompt_length, seed, step)
        scores = taken.scores.seeded(*seeds_and_steps(seed, step, taken))
        return taken.restore(self._act(scores, states).draw())

    @as_written
    @quietly
    def explain(
        self,
        logits: Any,
        *,
        history: Any = None,
        prompt_length: Any = 0,
        seed: int | Sequence[int] | None = None,
        step: Any = 0,
        top: int = 10,
        decode: "Decode | None" = None,
    ) -> Any:
        """Tell what each stage of the chain does: tokens and mass removed, entropy, the top tokens.

        Args:
            logits: as in a call, but not of a graph.
            history: as in a call.
            prompt_length: as in a call.
            seed: as in a call; with one the token that it draws is shown too. ``XTC`` tosses its
                coin as in a call, by the seed or afresh.
            step: as in a call.
            top: how many of the likeliest tokens to show, before the chain and after it.
            decode: for the texts of tokens: list of ids -> text, or a list with the text of each.

        Returns:
            an ``Explanation`` (print it, or call its ``plot(path)`` or ``to_dict()``); for logits
            [batch, vocab] a tuple with one for each row. A chain that leaves a row nothing to draw
            from is explained too.

        Raises:
            ValueError: as in a call; in a graph; ``top`` below 1; texts for fewer tokens than
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
        taken, states = self._take_in(logits, history, prompt_length, seed, step)
        check_arguments(top, decode, taken.scores.vocabulary)
        seeded = taken.scores.seeded(*seeds_and_steps(seed, step, taken))
        passed = list(self._stages(seeded, states))
        selector = f"{type(self).__name__}()"
        rows = explain_rows(passed, self._transforms, selector, seed is not None, top, decode)
        return rows if taken.batched else rows[0]

    @as_written
    def init(
        self,
        prompt_ids: Any,
        vocab_size: int,
        *,
        seed: Any = None,
        max_new_tokens: int | None = None,
    ) -> State:
        """Return the state before the first step.

        Positions are those of the whole sequence: the first token drawn has as its step the length
        of its prompt, so that going on from a longer prompt with the same seed gives the same text.

        Args:
            prompt_ids: int [length] or [batch, length], -1 for padding, or a list of lists.
            vocab_size: how many tokens there are.
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
        spacious = with_room(history, room)
        states = tuple(t.init(spacious, vocab_size) for t in self._transforms)
        if symbolic:
            from logit_sampling.distribution import tensors

            seeds = tensors.seed_words(seed, tensors.row_count(history))
            return State(seeds, tensors.lengths(history), states)
        lengths = (history >= 0).sum(axis=1, dtype=np.int32)
        return State(row_seeds(seed, len(history)), lengths, states)

    @as_written
    @quietly
    def step(self, logits: Any, state: State, *, return_log_prob: bool = False) -> Any:
        """Draw one token for each row, and take it into the state.

        Args:
            logits: as in a call.
            state: what ``init`` or the step before returned.
            return_log_prob: also return the log-probability of the tokens drawn.

        Returns:
            ``(ids, state)``, or ``(ids, state, log_prob)``.

        Raises:
            ValueError: as in a call.
        """
        pending = self.begin_step(logits, state)
        ids = pending.draw()
        new = pending.accept(ids)
        if not return_log_prob:
            return pending.restore(ids), new
        return pending.restore(ids), new, pending.restore(pending.log_prob(ids))

    @as_written
    @quietly
    def begin_step(self, logits: Any, state: State, resting: Any = None) -> Pending:
        """Apply the chain, and leave it to the caller which tokens are accepted.

        Args:
            logits: as in a call.
            state: as for ``step``.
            resting: bool [batch], rows that take no part, of the kind of array that ``state``
                holds: ids of theirs are -1, and their state stays as it is.

        Raises:
            ValueError: as in a call, but that a row may have nothing left.
        """
        taken = self._admit(logits, state.seed, state.step)
        held = state.step.shape[0]
        if isinstance(taken.rows, int) and held not in (taken.rows, None):
            raise ValueError(f"the state holds {held} rows, logits have {taken.rows}")
        if not taken.symbolic:  # the state may come out of a compiled function
            state = all_to_numpy(state)
        stages = tuple(self._stages(taken.scores.seeded(state.seed, state.step), state.transforms))
        return Pending(self._transforms, taken, stages, state, resting)

    @staticmethod
    def from_config(config: dict[str, Any]) -> "Sampler":
        """Return the sampler that ``get_config`` described.

        Raises:
            ValueError: an unknown name or parameter, or a value out of range.
        """
        classes = {"Sampler": Sampler, "Greedy": Greedy}
        match config:
            case {"name": "Sampler" | "Greedy" as name, "transforms": list(chain)}:
                return classes[name](*(Transform.from_config(c) for c in chain))
        raise ValueError(f"no configuration of a Sampler or Greedy: {config!r}")


class Greedy(Sampler):
    """Take the likeliest token after the chain; of equals the lower id.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> int(ls.Greedy()(np.array([1.0, 3.0, 3.0], np.float32)))
        1
        >>> ls.Greedy().probabilities(np.array([1.0, 3.0, 3.0], np.float32))
        array([0., 1., 0.], dtype=float32)
    """

    def _finish(self, scores: Any) -> Any:
        return scores.scale(0)


setattr(Sampler, AUTOGRAPH_SKIPS, {})  # for calls, which AutoGraph looks up on the object
