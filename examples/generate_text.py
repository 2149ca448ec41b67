"""Load a model, build a sampler, generate texts.

python examples/generate_text.py [MODEL]     MODEL: a shipped name, a folder, or a KerasHub preset
"""

import sys

import logit_sampling as ls


def main(name: str = "shakespeare") -> None:
    model = ls.load_model(name)
    sampler = ls.Sampler(ls.Temperature(0.8), ls.TopK(50), ls.TopP(0.95))
    print(f"{model.name}: {sampler}\n")

    result = ls.generate(model, ["ROMEO:", "To be"], sampler=sampler, max_new_tokens=40, seed=7)
    for row, prompt in enumerate(result.prompts):
        log_probs = result.log_probs[row]
        print(f"{prompt}{result.texts[row]}")
        print(
            f"  [seed {result.seeds[row]}, {len(log_probs)} tokens, {result.finish_reasons[row]}, "
            f"{sum(log_probs) / len(log_probs):.2f} nats a token]\n"
        )

    # Text as it is made: on_text gets each piece with the number of its row.
    print("ROMEO:", end="")
    ls.generate(
        model,
        "ROMEO:",
        sampler=ls.Greedy(),
        max_new_tokens=40,
        on_text=lambda row, piece: print(piece, end="", flush=True),
    )
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
