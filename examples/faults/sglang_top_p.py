"""SGLang's PyTorch backend: top-p keeps one token more where the mass is exactly p."""

import os

import torch

os.environ["TORCH_COMPILE_DISABLE"] = "1"
names = torch.library.Library("torchvision", "FRAGMENT")  # which its wheels lack without a GPU
for name in ("nms", "qnms"):
    names.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from sglang.srt.layers.sampler import top_p_normalize_probs_torch  # noqa: E402

kept = top_p_normalize_probs_torch(torch.tensor([[0.5, 0.25, 0.25, 0.0]]), torch.tensor([0.5]))
wrong = int((kept > 0).sum()) - 1
print(f"keeps {wrong + 1} tokens; the first alone has half of the mass")
