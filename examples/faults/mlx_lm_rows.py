"""mlx-lm: with one seed a text draws other tokens when others are in its batch."""

import mlx.core as mx
from mlx_lm.sample_utils import make_sampler

sampler, wrong = make_sampler(temp=1.0), 0
for seed in range(50):
    rows = mx.zeros((4, 100))
    mx.random.seed(seed)
    together = sampler(rows)[0].item()
    mx.random.seed(seed)
    wrong += together != sampler(rows[:1])[0].item()
print(f"in {wrong} of 50 batches the first row drew another token than alone; in none it should")
