"""Turn raw vocabulary logits into tokens.

>>> import numpy as np, logit_sampling as ls
>>> sampler = ls.Sampler(ls.Temperature(0.8), ls.TopK(50), ls.TopP(0.95))
>>> sampler(np.log([[0.1, 0.6, 0.3], [0.8, 0.1, 0.1]]), seed=7)
array([2, 0], dtype=int32)

With a model, `print(ls.generate(ls.load_model("shakespeare"), "ROMEO:", sampler=sampler))`.

The samplers need NumPy alone. What runs a model (`load_model`, `generate`, `compare`,
`train`) imports Keras and TensorFlow when it is first used. Every name here is imported by then,
with its module: the import of the package takes no time, and the command line is ready for Ctrl-C.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from logit_sampling import strategies

if TYPE_CHECKING:
    from logit_sampling.decoding.beam import BeamSearch as BeamSearch
    from logit_sampling.decoding.contrastive import ContrastiveSearch as ContrastiveSearch
    from logit_sampling.diagnostics import LogitsReport as LogitsReport
    from logit_sampling.diagnostics import check_logits as check_logits
    from logit_sampling.diagnostics import logits_from as logits_from
    from logit_sampling.diagnostics.guard import LogitsGuard as LogitsGuard
    from logit_sampling.distribution.checks import ProbabilitiesWarning as ProbabilitiesWarning
    from logit_sampling.distribution.compiled import engine as engine
    from logit_sampling.evaluation.comparison import Comparison as Comparison
    from logit_sampling.evaluation.run import compare as compare
    from logit_sampling.evaluation.texts import Prompt as Prompt
    from logit_sampling.evaluation.texts import read_prompts as read_prompts
    from logit_sampling.generation.chat import ChatTemplate as ChatTemplate
    from logit_sampling.generation.chat import chat as chat
    from logit_sampling.generation.engine import Engine as Engine
    from logit_sampling.generation.engine import EngineClosedError as EngineClosedError
    from logit_sampling.generation.generate import generate as generate
    from logit_sampling.generation.result import Interrupted as Interrupted
    from logit_sampling.generation.result import RowError as RowError
    from logit_sampling.generation.score import score as score
    from logit_sampling.generation.stream import stream as stream
    from logit_sampling.models.as_model import as_model as as_model
    from logit_sampling.models.loading import load_model as load_model
    from logit_sampling.sampler import Greedy as Greedy
    from logit_sampling.sampler import Sampler as Sampler
    from logit_sampling.sampler import State as State
    from logit_sampling.strategies import *
    from logit_sampling.strategies.watermark_detector import Detection as Detection
    from logit_sampling.strategies.watermark_detector import WatermarkDetector as WatermarkDetector
    from logit_sampling.training import train as train
    from logit_sampling.training.metrics import BitsPerCharacter as BitsPerCharacter
    from logit_sampling.training.metrics import Perplexity as Perplexity


__version__ = "0.1.0"

_LAZY = {
    "BeamSearch": "logit_sampling.decoding.beam",
    "BitsPerCharacter": "logit_sampling.training.metrics",
    "ChatTemplate": "logit_sampling.generation.chat",
    "Comparison": "logit_sampling.evaluation.comparison",
    "ContrastiveSearch": "logit_sampling.decoding.contrastive",
    "Detection": "logit_sampling.strategies.watermark_detector",
    "Engine": "logit_sampling.generation.engine",
    "EngineClosedError": "logit_sampling.generation.engine",
    "Greedy": "logit_sampling.sampler",
    "Interrupted": "logit_sampling.generation.result",
    "LogitsGuard": "logit_sampling.diagnostics.guard",
    "LogitsReport": "logit_sampling.diagnostics",
    "Perplexity": "logit_sampling.training.metrics",
    "ProbabilitiesWarning": "logit_sampling.distribution.checks",
    "Prompt": "logit_sampling.evaluation.texts",
    "RowError": "logit_sampling.generation.result",
    "Sampler": "logit_sampling.sampler",
    "State": "logit_sampling.sampler",
    "WatermarkDetector": "logit_sampling.strategies.watermark_detector",
    "as_model": "logit_sampling.models.as_model",
    "chat": "logit_sampling.generation.chat",
    "check_logits": "logit_sampling.diagnostics",
    "compare": "logit_sampling.evaluation.run",
    "engine": "logit_sampling.distribution.compiled",
    "generate": "logit_sampling.generation.generate",
    "load_model": "logit_sampling.models.loading",
    "logits_from": "logit_sampling.diagnostics",
    "read_prompts": "logit_sampling.evaluation.texts",
    "score": "logit_sampling.generation.score",
    "stream": "logit_sampling.generation.stream",
    "train": "logit_sampling.training",
}

if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    __all__ = sorted([*_LAZY, *strategies.__all__])

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_LAZY.get(name, "logit_sampling.strategies")), name)
        globals()[name] = value  # from now on it is found without asking here
        return value


def __dir__() -> list[str]:
    return sorted([*globals()["__all__"], "__version__"])
