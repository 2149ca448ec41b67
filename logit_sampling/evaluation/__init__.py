"""How samplers differ on a model: texts side by side, numbers over seeds, pictures."""

from logit_sampling.figures import check_plot_path
from logit_sampling.visible import visible

from .compare import Comparison, Result, Text, compare, default_samplers
from .metrics import Estimate, distinct_n, seq_rep_n
from .plots import plot_next_token

__all__ = [
    "Comparison",
    "Estimate",
    "Result",
    "Text",
    "check_plot_path",
    "compare",
    "default_samplers",
    "distinct_n",
    "plot_next_token",
    "seq_rep_n",
    "visible",
]
