"""Load a model, build a sampler, generate texts.

python examples/generate_text.py [MODEL]     MODEL: a shipped name, a folder, or a KerasHub preset
"""

import argparse

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

    # Text as it is made, up to the end of a sentence.
    print("ROMEO:", end="")
    ends = [".", "!", "?"]
    stream = ls.stream(model, "ROMEO:", sampler=sampler, stop=ends, max_new_tokens=40, seed=8)
    for event in stream:
        print(event, end="", flush=True)
    print(f"\n  [{stream.result.finish_reasons[0]}]\n")

    # How likely the model finds a text.
    scored = ls.score(model, ["To be, or not to be", "To bee, oar knot two bee"])
    for total, count in zip(scored.totals, scored.counts, strict=True):
        print(f"{total:.1f} nats in {count} tokens")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="shakespeare")
    main(parser.parse_args().model)
