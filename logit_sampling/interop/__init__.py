"""Samplers in the loops of KerasHub and of Hugging Face transformers, and from their settings."""

from collections.abc import Sequence
from typing import Any, Self


class Integrations:
    """The methods of a sampler that know other libraries; each is imported when it is needed."""

    def for_keras_hub(self, *, seed: int | Sequence[int] | None = None) -> Any:
        """Return the chain as a KerasHub sampler, for ``causal_lm.compile(sampler=...)``.

        It writes the tokens that ``generate`` writes here after the same ids with the same seed:
        each row draws by its own seed, and what counts as its history and its prompt is its own,
        also where prompts of different lengths share a batch. All of KerasHub's modes serve
        (``jit_compile`` True or False, ``run_eagerly``), with TensorFlow and JAX. A row that has
        stopped is not written further. (From a string KerasHub makes ids with a start token, even
        where the preprocessor has ``add_start_token=False``, which we follow.)

        Nothing can raise in compiled code. When it is through, a UserWarning names each row that
        nothing could be drawn for, where it ends and why. Asked for texts, ``generate`` returns
        them all, such a row up to there; asked for ids (by a model without a preprocessor), the row
        holds -1 from there on. With ``run_eagerly=True`` TensorFlow raises a ValueError, and torch
        always does. Only in a graph of your own around ``generate`` nothing is told.

        Args:
            seed: as in a call of a sampler. The same each time ``generate`` is called, unless it is
                None, which begins with a random one; the attribute ``seed`` of the result tells
                it and sets it, and nothing is compiled again.

        Returns:
            a ``keras_hub.samplers.Sampler``; it goes through ``keras_hub.samplers.serialize``.

        Raises:
            ValueError: ``seed`` holds something else than integers; the chain has ``Grammar`` or
                ``Guidance``, which are no part of graphs, and need ``generate`` of this library.

        Example:
            >>> import logit_sampling as ls
            >>> sampler = ls.Sampler(ls.RepetitionPenalty(1.2), ls.TopP(0.9))
            >>> causal_lm.compile(sampler=sampler.for_keras_hub(seed=7))  # doctest: +SKIP
            >>> causal_lm.generate("ROMEO:", max_length=64)               # doctest: +SKIP
        """
        from logit_sampling.interop.keras_hub import KerasHubSampler

        return KerasHubSampler(self, seed)

    @staticmethod
    def from_keras_hub(sampler: Any) -> Any:
        """Return the sampler that draws from the distribution that a KerasHub sampler draws from.

        Its seed stays behind: here it belongs to a call.

        Args:
            sampler: a ``GreedySampler``, ``RandomSampler``, ``TopKSampler`` or ``TopPSampler``, its
                name ("top_k") or its configuration; or what ``for_keras_hub`` returned.

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
        attention_mask: Any = None,
        pad_token_id: int | None = None,
        eos_token_id: int | Sequence[int] = (),
    ) -> Any:
        """Return the chain as an entry of the ``logits_processor`` of transformers' ``generate``.

        It masks the logits, and ``generate`` draws. The prompts are what the first call is given;
        what comes behind them is generated, and states are carried on (``Mirostat`` learns from the
        tokens that ``generate`` drew). Make one for each ``generate``: used again it begins anew,
        but longer prompts that begin with those before raise, since it could not tell what of them
        was generated (one token more than it has seen is taken for generated).

        ``generate`` applies its own settings too: penalties and constraints before this entry, and
        with ``do_sample=True`` its temperature, top_k, top_p and the like behind it. For a chain of
        ours alone pass ``do_sample=True, temperature=1.0, top_k=0, top_p=1.0``, or whatever undoes
        the model's generation_config; with ``Greedy`` pass ``do_sample=False``.

        With ``draw=True`` the token is drawn here: it gets the logit 0, all others -inf, so that
        ``generate`` can take no other, with ``do_sample`` or without. The same seed then writes
        what ``logit_sampling.generate`` writes.

        Where ``generate`` takes tokens back, the states are built anew from the texts: in beam
        search (without ``draw``), with ``prompt_lookup_num_tokens`` and with an
        ``assistant_model``. Drafts are checked by this chain, so the tokens have the same
        distribution as without them, and with ``draw=True`` they are the same. ``Mirostat`` and
        ``AdaptiveP``, which learn from each draw, raise there. So does a draft after which a chain
        leaves nothing to draw from; for drafts that reach behind the end pass ``eos_token_id``.

        Args:
            draw: whether the tokens are drawn here.
            seed: as in a call of a sampler; for the draw, and for a transform that tosses a coin
                (``XTC``).
            attention_mask: [batch, length] as the tokenizer returns it beside the prompts, 0 for
                padding, which is no history. Also for several texts of a prompt.
            pad_token_id: instead of it, the token at the left of shorter prompts: all that a row
                begins with is padding. None if all have the same length.
            eos_token_id: the tokens at which ``generate`` ends a row: what it fills up behind
                them is no history, and nothing raises for it.

        Returns:
            a ``transformers.LogitsProcessor``, where that can be imported; it takes and returns
            torch tensors, or arrays of another library. It raises ValueError for a row that nothing
            can be drawn from.

        Raises:
            ValueError: ``eos_token_id`` holds something else than token ids, or ``attention_mask``
                something else than 0 and 1; when it is called, a mask that does not belong to the
                prompts, or prompts that all begin with ``pad_token_id``, which may be a start token
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
    def from_generation_config(cls, config: Any, **overrides: Any) -> Self:
        """Return the sampler that draws as ``generate`` of transformers does with a configuration.

        What a ``GenerationConfig`` leaves open (None) has the value that ``generate`` gives it:
        ``do_sample`` is False, and ``top_k`` is 50. What does nothing there does nothing here: the
        settings of sampling without ``do_sample``, ``eos_token_id`` without a minimal length.
        Settings that do not change the distribution of a token are passed over, those of length,
        stopping, output, cache and speed; ``logit_sampling.settings.generation_config`` lists
        them. So are names in ``config`` that are no settings, but a model's own (``lang_to_id``,
        ``max_window_size``), as ``generate`` does; what looks like a slip of a setting's name
        raises. A setting that changes the distribution and that no transform has raises.

        Args:
            config: a ``GenerationConfig``, or a mapping such as ``generation_config.json`` holds.
            **overrides: settings that come before those of ``config``, as in ``generate``.

        Raises:
            ValueError: beams, contrastive search or another setting that no chain has; a name in
                ``overrides`` that ``generate`` does not know; one in ``config`` that is a slip of a
                setting's (``temprature``) or a setting of another system; a value out of range; a
                minimal length without ``eos_token_id``, ``forced_eos_token_id`` without a length,
                ``guidance_scale`` without ``unconditional``.

        Example:
            >>> import logit_sampling as ls
            >>> config = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 2}
            >>> ls.Sampler.from_generation_config(config)
            Sampler(Temperature(temperature=0.6), TopK(k=50), TopP(p=0.9))
        """
        from logit_sampling.settings.generation_config import chain_from

        return cls(*chain_from(config, overrides))
