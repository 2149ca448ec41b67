"""llama.cpp: the dynamic temperature is another one if tokens at -inf stand beside the others."""

import ctypes

import llama_cpp as llama


def scaled(scores: list[float]) -> float:
    data = (llama.llama_token_data * len(scores))(*((i, x, 0) for i, x in enumerate(scores)))
    tokens = llama.llama_token_data_array(data, len(scores), -1, False)
    sampler = llama.llama_sampler_init_temp_ext(1.0, 0.5, 1.0)
    llama.llama_sampler_apply(sampler, ctypes.byref(tokens))
    return 1 / (tokens.data[0].logit - tokens.data[1].logit)


alone, masked = scaled([1.0, 0.0]), scaled([1.0, 0.0, float("-inf"), float("-inf")])
wrong = int(abs(alone - masked) > 1e-3)
print(f"the temperature is {alone:.3f}, and {masked:.3f} with two tokens at -inf beside them")
