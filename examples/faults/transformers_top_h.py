"""transformers: TopHLogitsWarper compares the entropy of a prefix that is not normalised."""

import torch
from transformers import TopHLogitsWarper

p = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
two = p[:, :2] / p[:, :2].sum()
allowed = 0.6 * float(-(p * p.log()).sum())
entropy = float(-(two * two.log()).sum())
kept = int(torch.isfinite(TopHLogitsWarper(0.6)(None, p.log())).sum())
wrong = int(entropy <= allowed and kept < 2)
print(f"keeps {kept}; 2 tokens have an entropy of {entropy:.3f}, and {allowed:.3f} is allowed")
