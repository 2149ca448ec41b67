"""llama.cpp: mirostat keeps fewer tokens if there are others at -inf, which cannot come."""

import ctypes

import llama_cpp as llama


def kept(scores: list[float]) -> int:
    data = (llama.llama_token_data * len(scores))(*((i, x, 0) for i, x in enumerate(scores)))
    tokens = llama.llama_token_data_array(data, len(scores), -1, False)
    mirostat = llama.llama_sampler_init_mirostat(len(scores), 1, 3.0, 0.1, 100)
    llama.llama_sampler_apply(mirostat, ctypes.byref(tokens))
    return tokens.size


alone, masked = (kept([-i / 8 for i in range(32)] + [float("-inf")] * n) for n in (0, 32))
wrong = int(masked != alone)
print(f"of 32 tokens {alone} are kept, and {masked} if 32 more at -inf stand beside them")
