"""transformers: TopKLogitsWarper keeps every token that equals the last."""

import torch
from transformers import TopKLogitsWarper

scores = TopKLogitsWarper(2)(None, torch.tensor([[0.0, 2.0, 1.0, 1.0, 1.0, -1.0]]))
kept = int(torch.isfinite(scores).sum())
wrong = kept - 2
print(f"a top-k of 2 keeps {kept} tokens")
