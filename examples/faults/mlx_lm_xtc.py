"""mlx-lm: one coin decides for all rows of a batch whether XTC applies."""

import mlx.core as mx
from mlx_lm.sample_utils import apply_xtc

logits, alike = mx.log(mx.array([[0.5, 0.3, 0.2]] * 8)), 0
for seed in range(50):
    mx.random.seed(seed)
    applied = int(mx.isinf(apply_xtc(logits, 0.5, 0.1, [])).any(axis=-1).sum())
    alike += applied in (0, 8)
wrong = alike if alike > 6 else 0  # coins of their own reach that less than once in a million runs
print(f"in {alike} of 50 batches all 8 rows are cut or none; by coins of their own, hardly ever")
