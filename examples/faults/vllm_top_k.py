"""vLLM on a CPU: top-k keeps every token that equals the last."""

import torch
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch

scores = apply_top_k_top_p_pytorch(torch.zeros(1, 64), torch.tensor([10]), None)
kept = int(torch.isfinite(scores).sum())
wrong = kept - 10
print(f"of 64 equal tokens a top-k of 10 keeps {kept}")
