"""llama.cpp: typical keeps tokens at -inf, and before others."""

import ctypes

import llama_cpp as llama

scores = [-i / 8 for i in range(32)] + [float("-inf")] * 32
data = (llama.llama_token_data * 64)(*((i, x, 0) for i, x in enumerate(scores)))
tokens = llama.llama_token_data_array(data, 64, -1, False)
typical = llama.llama_sampler_init_typical(0.5, 1)
llama.llama_sampler_apply(typical, ctypes.byref(tokens))
wrong = sum(tokens.data[i].id >= 32 for i in range(tokens.size))
print(f"{wrong} of the {tokens.size} tokens that are kept were at -inf")
