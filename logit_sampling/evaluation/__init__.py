"""How samplers differ on a model: texts side by side, numbers over seeds, pictures."""

from logit_sampling.evaluation.compare import (
    Comparison,
    Result,
    Text,
    compare,
    default_samplers,
    named,
)
from logit_sampling.evaluation.metrics import Estimate, distinct_n, seq_rep_n
from logit_sampling.evaluation.plots import plot_next_token
from logit_sampling.plotting.figures import check_plot_path
from logit_sampling.plotting.visible import visible

__all__ = [
    "Comparison",
    "Estimate",
    "Result",
    "Text",
    "check_plot_path",
    "compare",
    "default_samplers",
    "distinct_n",
    "named",
    "plot_next_token",
    "seq_rep_n",
    "visible",
]
