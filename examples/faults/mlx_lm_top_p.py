"""mlx-lm: top-p keeps every token that equals the last."""

import mlx.core as mx
from mlx_lm.sample_utils import apply_top_p

kept = int(mx.isfinite(apply_top_p(mx.log(mx.full((1, 64), 1 / 64)), 0.5)).sum())
wrong = kept - 32
print(f"of 64 equal tokens a mass of 0.5 keeps {kept}; 32 have it")
