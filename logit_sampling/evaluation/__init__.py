"""How samplers differ on a model: texts side by side, numbers with intervals, pictures.

What is here is imported when it is asked for: the command line checks its options with little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logit_sampling.evaluation.comparison import Comparison as Comparison
    from logit_sampling.evaluation.grid import read_samplers as read_samplers
    from logit_sampling.evaluation.grid import swept as swept
    from logit_sampling.evaluation.intervals import Difference as Difference
    from logit_sampling.evaluation.intervals import Estimate as Estimate
    from logit_sampling.evaluation.measures import measure_names as measure_names
    from logit_sampling.evaluation.metrics import distinct_n as distinct_n
    from logit_sampling.evaluation.metrics import entropy_of as entropy_of
    from logit_sampling.evaluation.metrics import longest_repeat as longest_repeat
    from logit_sampling.evaluation.metrics import loops as loops
    from logit_sampling.evaluation.metrics import rep_w as rep_w
    from logit_sampling.evaluation.metrics import seq_rep_n as seq_rep_n
    from logit_sampling.evaluation.metrics import zipf_coefficient as zipf_coefficient
    from logit_sampling.evaluation.next_token import next_tokens as next_tokens
    from logit_sampling.evaluation.plots import plot_next_token as plot_next_token
    from logit_sampling.evaluation.result import Result as Result
    from logit_sampling.evaluation.run import compare as compare
    from logit_sampling.evaluation.samplers import default_samplers as default_samplers
    from logit_sampling.evaluation.samplers import named as named
    from logit_sampling.evaluation.texts import Prompt as Prompt
    from logit_sampling.evaluation.texts import Text as Text
    from logit_sampling.evaluation.texts import read_prompts as read_prompts
    from logit_sampling.plotting.figures import check_plot_path as check_plot_path
    from logit_sampling.plotting.visible import visible as visible

_LAZY = {
    "Comparison": "evaluation.comparison",
    "Difference": "evaluation.intervals",
    "Estimate": "evaluation.intervals",
    "Prompt": "evaluation.texts",
    "Result": "evaluation.result",
    "Text": "evaluation.texts",
    "check_plot_path": "plotting.figures",
    "compare": "evaluation.run",
    "default_samplers": "evaluation.samplers",
    "distinct_n": "evaluation.metrics",
    "entropy_of": "evaluation.metrics",
    "longest_repeat": "evaluation.metrics",
    "loops": "evaluation.metrics",
    "measure_names": "evaluation.measures",
    "named": "evaluation.samplers",
    "next_tokens": "evaluation.next_token",
    "plot_next_token": "evaluation.plots",
    "read_prompts": "evaluation.texts",
    "read_samplers": "evaluation.grid",
    "rep_w": "evaluation.metrics",
    "seq_rep_n": "evaluation.metrics",
    "swept": "evaluation.grid",
    "visible": "plotting.visible",
    "zipf_coefficient": "evaluation.metrics",
}

if not TYPE_CHECKING:
    __all__ = sorted(_LAZY)

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = import_module(f"logit_sampling.{_LAZY[name]}")
        globals()[name] = getattr(found, name)
        return globals()[name]


def __dir__() -> list[str]:
    return sorted(_LAZY)
