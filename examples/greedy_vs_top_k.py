"""Greedy search goes in circles, top-k sampling does not: texts, and the share of repeated 4-grams.

python examples/greedy_vs_top_k.py [MODEL]     MODEL: a shipped name, a folder, or a KerasHub preset
"""

import argparse

import logit_sampling as ls
from logit_sampling.evaluation import seq_rep_n


def main(name: str = "shakespeare", prompt: str = "ROMEO:", *, tokens: int = 120) -> None:
    model = ls.load_model(name)
    for sampler, seed in [
        (ls.Greedy(), 0),  # the likeliest token each time: no seed changes it
        (ls.Sampler(ls.TopK(50)), 0),
        (ls.Sampler(ls.TopK(50)), 1),
    ]:
        result = ls.generate(
            model,
            prompt,
            sampler=sampler,
            max_new_tokens=tokens,
            seed=seed,
            stop_at_end=False,  # equal lengths, or the numbers would not compare
        )
        repeated = seq_rep_n(result.token_ids[0], n=4)
        print(f"--- {sampler}, seed {seed}: seq-rep-4 {repeated:.2f}")
        print(f"{prompt}{result.texts[0]}\n")

    # The same and more in one call: several prompts and seeds, four samplers, means and spread.
    comparison = ls.compare(model, [prompt], seeds=(0, 1, 2), max_new_tokens=tokens)
    for row in comparison.results:
        print(f"{row.name:14} seq-rep-4 {row.seq_rep_4.format(2)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="shakespeare")
    main(parser.parse_args().model)
