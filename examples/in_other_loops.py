"""Our samplers in the loops of KerasHub and of Hugging Face transformers.

python examples/in_other_loops.py [MODEL]    MODEL: a shipped name, a folder, or a KerasHub preset
"""

import argparse
import importlib.util

import numpy as np

import logit_sampling as ls


def in_keras_hub(name: str, sampler: ls.Sampler) -> None:
    """Write a text with `causal_lm.generate`: the one that `ls.generate` writes with the seed."""
    model = ls.load_model(name)
    causal_lm, prompt, length = model.causal_lm, "ROMEO:", 40
    causal_lm.compile(sampler=sampler.for_keras_hub(seed=7))
    theirs = causal_lm.generate(prompt, max_length=length, strip_prompt=True)
    # The ids that KerasHub makes of a prompt: with a start token, whatever the preprocessor says.
    ids, mask = causal_lm.preprocessor.generate_preprocess([prompt], length).values()
    ids = np.asarray(ids)[np.asarray(mask)]
    result = ls.generate(model, [ids], sampler=sampler, seed=7, max_new_tokens=length - len(ids))
    print(f"KerasHub: {theirs!r}\nthe same here: {theirs == result.texts[0]}\n")


def in_transformers(sampler: ls.Sampler) -> None:
    """Write token ids with `model.generate` of a small model with random weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    ids = {"vocab_size": 100, "bos_token_id": 99, "eos_token_id": 99}
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, **ids)).eval()
    prompt = torch.tensor([[1, 2, 3]])
    masks = sampler.for_transformers()  # generate draws, and must not cut a second time
    alone = {"do_sample": True, "top_k": 0, "max_new_tokens": 10, "pad_token_id": 0}
    ids = model.generate(input_ids=prompt, logits_processor=[masks], **alone)
    print(f"transformers, its own draw: {ids[0, 3:].tolist()}")
    draws = sampler.for_transformers(draw=True, seed=7)
    ids = model.generate(input_ids=prompt, logits_processor=[draws], **alone)
    print(f"transformers, seed 7 of ours: {ids[0, 3:].tolist()}")


def main(name: str = "shakespeare") -> None:
    sampler = ls.Sampler(ls.RepetitionPenalty(1.2), ls.Temperature(0.8), ls.TopP(0.95))
    in_keras_hub(name, sampler)
    print("settings of theirs:")
    print(ls.Sampler.from_keras_hub("top_k"))
    print(ls.Sampler.from_generation_config({"do_sample": True, "temperature": 0.6, "top_p": 0.9}))
    if importlib.util.find_spec("transformers") and importlib.util.find_spec("torch"):
        in_transformers(sampler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="shakespeare")
    main(parser.parse_args().model)
