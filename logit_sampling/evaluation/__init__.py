"""How samplers differ on a model: texts side by side, numbers with intervals, pictures."""

from logit_sampling.evaluation.compare import compare, default_samplers, named
from logit_sampling.evaluation.comparison import Comparison, Result
from logit_sampling.evaluation.grid import read_samplers, swept
from logit_sampling.evaluation.intervals import Difference, Estimate
from logit_sampling.evaluation.measures import NAMES as measure_names
from logit_sampling.evaluation.metrics import (
    distinct_n,
    entropy_of,
    longest_repeat,
    loops,
    rep_w,
    seq_rep_n,
    zipf_coefficient,
)
from logit_sampling.evaluation.next_token import next_tokens
from logit_sampling.evaluation.plots import plot_next_token
from logit_sampling.evaluation.texts import Prompt, Text, read_prompts
from logit_sampling.plotting.figures import check_plot_path
from logit_sampling.plotting.visible import visible

__all__ = [
    "Comparison",
    "Difference",
    "Estimate",
    "Prompt",
    "Result",
    "Text",
    "check_plot_path",
    "compare",
    "default_samplers",
    "distinct_n",
    "entropy_of",
    "longest_repeat",
    "loops",
    "measure_names",
    "named",
    "next_tokens",
    "plot_next_token",
    "read_prompts",
    "read_samplers",
    "rep_w",
    "seq_rep_n",
    "swept",
    "visible",
    "zipf_coefficient",
]
