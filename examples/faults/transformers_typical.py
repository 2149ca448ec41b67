"""transformers: TypicalLogitsWarper keeps every token that is as typical as the last."""

import torch
from transformers import TypicalLogitsWarper

scores = TypicalLogitsWarper(0.5)(None, torch.zeros(1, 4))
kept = int(torch.isfinite(scores).sum())
wrong = kept - 2
print(f"of 4 equal tokens a mass of 0.5 keeps {kept}; 2 have it")
