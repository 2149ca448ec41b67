"""Train a small GPT on a text and save it as a KerasHub preset."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from logit_sampling.models.keras_hub_bridge import dropout_of_outputs_alone
from logit_sampling.training.bpe_dropout import BPEDropout
from logit_sampling.training.checkpoint import load_checkpoint, save_checkpoint
from logit_sampling.training.corpus import check_text, split
from logit_sampling.training.data import batches, check_length, sized, steps_per_epoch
from logit_sampling.training.folder import RunFolder
from logit_sampling.training.model import build_model, build_optimizer, count_parameters, sum_loss
from logit_sampling.training.progress import Progress, write_log
from logit_sampling.training.recipe import Recipe
from logit_sampling.training.result import better, metrics_of, write_result
from logit_sampling.training.tokenizer import characters_per_token, learn_tokenizer

if TYPE_CHECKING:
    import keras_hub


PROMPT = 8  # tokens of the validation text with which a sample begins
MOST = 700  # nats a token of which a perplexity can be told


def train(
    text: str,
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    resume: bool = False,
    corpus: str = "a local file",
    command: str = "",
) -> dict[str, Any]:
    """Train a small GPT on a text and save its best weights as a KerasHub preset.

    The first 90% of the characters are trained on, the rest chooses the epoch. Until the run is
    over its state is in the folder `OUT.training`; then `out` appears, whole, with the preset, a
    model card, `metrics.json`, `log.csv` and, if matplotlib is installed, `curve.png`.

    Each epoch is judged by the average of the weights, and the best of them is saved; at the end
    the last weights are judged too, and saved if they are better.

    Args:
        text: what to learn from, and not the name of a file: `read_text` reads one.
        out: the folder to make.
        recipe: the hyperparameters; by default those of the shipped model.
        resume: continue an interrupted run of the same text, folder and recipe.
        corpus: what the card calls the text.
        command: what the card says to run.

    Returns:
        the metrics of the card: losses in nats and bits, counts, seconds, a sample, the recipe.

    Raises:
        ValueError: the text is too short or looks like a path, `out` exists, an interrupted run is
            there and `resume` is false, or none is there or one of another text or recipe, or
            training diverged.
    """
    check_text(text)
    for name, value in (("corpus", corpus), ("command", command)):
        if not isinstance(value, str):
            raise ValueError(f"`{name}` must be a string, got {value!r}")
    with RunFolder(out).claimed(resume) as folder:
        return train_in(folder, text, recipe or Recipe(), resume, corpus, command)


def train_in(
    folder: RunFolder, text: str, recipe: Recipe, resume: bool, corpus: str, command: str
) -> dict[str, Any]:
    """Train as `train` does, in a folder that is claimed."""
    about = {"corpus": corpus, "command": command}
    run = Run(text, folder, recipe, resume)
    run.rehearse(about)
    run.fit()
    return run.save(about)


class Run:
    """One training run: what it is made of, where it stands, and its checkpoint."""

    def __init__(self, text: str, folder: RunFolder, recipe: Recipe, resume: bool) -> None:
        self.folder = folder
        self.text_sha256 = hashlib.sha256(text.encode()).hexdigest()

        self.training_text, self.validation_text = split(text)
        check_length(text, recipe)  # before the work, if that is enough to tell
        self.tokenizer = learn_tokenizer(self.training_text, recipe.vocabulary_size)
        self.training_ids, self.validation_ids = (
            np.asarray(self.tokenizer(part), np.int32)
            for part in (self.training_text, self.validation_text)
        )
        self.recipe = recipe = sized(recipe, self.training_ids.size)
        self._dropped = BPEDropout(self.training_text, self.tokenizer)
        self.steps = steps_per_epoch(self.training_ids, recipe)
        check_length(text, recipe, self.training_ids.size)

        import keras

        vocabulary_size = self.tokenizer.vocabulary_size()
        self._check_room(4 * count_parameters(recipe, vocabulary_size))
        keras.utils.set_random_seed(recipe.seed)
        self.model = build_model(recipe, vocabulary_size, "mixed_bfloat16")
        for block in self.model.backbone.transformer_layers:
            dropout_of_outputs_alone(block)
        self.optimizer = build_optimizer(recipe, recipe.epochs * self.steps)
        self.optimizer.build(self.model.trainable_variables)
        self.model.compile(
            self.optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=self.model.jit_compile,
        )
        self._characters = characters_per_token(self.tokenizer)
        # Holds what is validated, sampled from and saved, in float32: averaged weights or the last.
        self.judged = build_model(recipe, vocabulary_size)
        self.judged.preprocessor = self._preprocessor()

        self._started, self._seconds = time.monotonic(), 0.0
        self.log: list[dict[str, float]] = []
        self._best: list[np.ndarray] = []
        if resume:
            self._restore()

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.log)

    @property
    def prompt(self) -> np.ndarray:
        """The tokens with which a sample begins."""
        return self.validation_ids[: min(PROMPT, self.recipe.context // 2)]

    def fit(self) -> None:
        """Train to the end of the recipe, with a checkpoint after each epoch."""
        import keras

        self._started = time.monotonic()
        stream = batches(self.training_ids, self.recipe, self.epoch, self._dropped)
        with Progress(self.recipe.epochs, self.steps, self.epoch) as progress:
            while self.epoch < self.recipe.epochs:
                # Dropout on torch draws from its global generator, which no checkpoint holds.
                keras.utils.set_random_seed(self.recipe.seed + self.epoch)
                losses, characters = [], []
                for x, y in islice(stream, self.steps):
                    losses.append(self.model.train_on_batch(x, y, return_dict=True)["loss"])
                    characters.append(self._characters[y].mean())
                    progress.advance(float(np.mean(losses)))
                row = self._end_epoch(float(np.mean(losses)), float(np.mean(characters)))
                progress.show(row, self._sample(self.epoch))

    def rehearse(self, about: dict[str, str]) -> None:
        """Write what `save` will, from the untrained model: what fails then fails now."""
        row = self._row(0, 0.0, 0.0, 1.0)
        metrics = metrics_of(self, [row], {"best": 0.0, "last": 0.0}, self._sample(0)) | about
        shutil.rmtree(write_result(self, metrics, [row]))

    def save(self, about: dict[str, str]) -> dict[str, Any]:
        """Make the output folder, all of it at once; return the metrics of its card.

        An average lags behind: after few steps, or while the loss still falls, the last weights
        may be better than every average. They are compared here and not after every epoch: what is
        saved is no worse than either, and an epoch costs one validation.
        """
        candidates = {"best": self._best, "last": self.model.get_weights()}
        losses = {name: self._judge(weights) for name, weights in candidates.items()}
        self.judged.set_weights(candidates[better(losses)])
        sample = self._sample(self.recipe.epochs, self.recipe.context)
        metrics = metrics_of(self, self.log, losses, sample) | about
        self.folder.finish(write_result(self, metrics, self.log))
        return metrics

    def _end_epoch(self, loss: float, characters: float) -> dict[str, float]:
        """Validate the weights, averaged, keep them if they are the best, write the checkpoint.

        `loss` is the mean of the epoch's in nats a token, and a token had so many `characters`.
        """
        from keras.ops import convert_to_numpy

        if self.recipe.ema:
            self.optimizer.finalize_variable_values(self.judged.trainable_variables)
            weights = self.judged.get_weights()  # copies: JAX gives up the arrays of an optimizer
        else:
            weights = self.model.get_weights()
        nats = self._judge(weights)
        if not nats / self.validation_ids.size < MOST:  # NaN is not, either
            raise ValueError(
                f"the loss is {nats / self.validation_ids.size} nats a token after epoch "
                f"{self.epoch + 1}: training diverged; use a `learning_rate` below "
                f"{self.recipe.learning_rate}"
            )
        row = self._row(self.epoch + 1, nats, loss, characters)
        validation = row["validation_nats_per_character"]
        if all(validation < earlier["validation_nats_per_character"] for earlier in self.log):
            self._best = weights
        self.log.append(row)
        save_checkpoint(
            self.folder.checkpoint,
            {"recipe": asdict(self.recipe), "text_sha256": self.text_sha256, "log": self.log},
            {
                "variables": [convert_to_numpy(v) for v in self.model.variables],
                "optimizer": [convert_to_numpy(v) for v in self.optimizer.variables],
                "best": self._best,
            },
        )
        write_log(self.folder.path / "log.csv", self.log)
        return row

    def _row(self, epoch: int, nats: float, loss: float, characters: float) -> dict[str, float]:
        """The line of the log for an epoch: the validation loss `nats`, and see `_end_epoch`."""
        validation = nats / len(self.validation_text)
        return {
            "epoch": epoch,
            "learning_rate": float(self.optimizer.learning_rate),
            "training_nats_per_token": loss,
            "training_nats_per_character": loss / characters,
            "training_bits_per_character": loss / characters / math.log(2),
            "training_perplexity": math.exp(min(loss, MOST)),
            "validation_nats_per_character": validation,
            "validation_bits_per_character": validation / math.log(2),
            "validation_perplexity": math.exp(nats / self.validation_ids.size),
            "seconds": round(self._seconds + time.monotonic() - self._started, 1),
        }

    def _restore(self) -> None:
        state, arrays = load_checkpoint(self.folder.checkpoint)
        try:
            differences = self.recipe.differences(state["recipe"])
            if state["text_sha256"] != self.text_sha256:
                differences.append("another text")
            if not differences:
                for variables, name in (
                    (self.model.variables, "variables"),
                    (self.optimizer.variables, "optimizer"),
                ):
                    for variable, value in zip(variables, arrays[name], strict=True):
                        variable.assign(value)
                self._best, self.log = arrays["best"], state["log"]
                self._seconds = self.log[-1]["seconds"]
        except Exception as error:  # whatever an array of another shape makes Keras raise
            raise ValueError(
                f"{self.folder.checkpoint} is not the state of such a run ({error!r}); delete it"
            ) from error
        if differences:
            raise ValueError(
                f"{self.folder.path} holds another run ({'; '.join(differences)}): resume it with "
                "the text and options that it was started with"
            )

    def _judge(self, weights: list[np.ndarray]) -> float:
        """The nats of the validation text by these weights, which `judged` has from then on."""
        self.judged.set_weights(weights)
        return sum_loss(self.judged, *self._validation())

    def _validation(self) -> tuple[np.ndarray, int, int]:
        """The arguments of `sum_loss`: the end of the training text is context for the rest."""
        before = self.training_ids[-self.recipe.context :]
        ids = np.concatenate([before, self.validation_ids])
        return ids, before.size, self.recipe.context

    def _sample(self, epoch: int, length: int = 60) -> str:
        """The first tokens of the validation text and what the judged model makes of them."""
        import logit_sampling as ls

        prompt = self.prompt.tolist()
        length = min(length, self.recipe.context - len(prompt))
        sampler = ls.Sampler.from_params(temperature=0.8, top_k=50)
        result = ls.generate(
            self.judged, [prompt], sampler=sampler, max_new_tokens=length, seed=epoch
        )
        return self.tokenizer.detokenize(prompt) + result.texts[0]

    def _preprocessor(self) -> keras_hub.models.QwenCausalLMPreprocessor:
        import keras_hub

        # The model saw one continuous text, never a start token before a prompt.
        return keras_hub.models.QwenCausalLMPreprocessor(
            self.tokenizer, sequence_length=self.recipe.context, add_start_token=False
        )

    def _check_room(self, weights: int) -> None:
        """A checkpoint is written beside the last one, and the model, of `weights` bytes, as well.

        A checkpoint has them as they are, two moments, the best, and the average if there is one.
        """
        copies = 4 + bool(self.recipe.ema)
        checkpoints = 1 if self.folder.checkpoint.exists() else 2
        needed = (copies * checkpoints + 1) * weights
        free = shutil.disk_usage(self.folder.path).free
        if free < needed:
            raise ValueError(
                f"{self.folder.path} has room for {free / 1e6:.1f} MB, and the run needs "
                f"{needed / 1e6:.1f}"
            )
