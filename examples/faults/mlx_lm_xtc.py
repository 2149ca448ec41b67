"""mlx-lm: one coin decides for all rows of a batch whether XTC applies."""

import mlx.core as mx
from mlx_lm.sample_utils import apply_xtc

logits, wrong = mx.log(mx.array([[0.5, 0.3, 0.2]] * 8)), 0
for seed in range(50):
    mx.random.seed(seed)
    applied = int(mx.isinf(apply_xtc(logits, 0.5, 0.1, [])).any(axis=-1).sum())
    wrong += applied in (0, 8)
print(f"in {wrong} of 50 batches all 8 rows are cut or none; by coins of their own, hardly ever")
