"""The strategies that look at the history, in plain Python, written from their formulas.

Nothing here is shared with the library: a row is a list of floats, a history a list of token ids in
which -1 is padding; ``prompt`` says how many of its columns are the prompt.
"""

import math

INF = math.inf
FLOAT_MAX = 3.4028234663852886e38


def real(history: list[int], vocabulary: int) -> list[int]:
    return [t for t in history if 0 <= t < vocabulary]


def counts(x, history, prompt, window, with_prompt) -> dict[int, int]:
    tokens = real(history if with_prompt else history[prompt:], len(x))
    tokens = tokens if window is None else tokens[max(len(tokens) - window, 0) :]
    return {t: tokens.count(t) for t in tokens}


def repetition(x, history, prompt, penalty, window=None, with_prompt=True):
    seen = counts(x, history, prompt, window, with_prompt)

    def new(v):
        return v if math.isinf(v) else v / penalty if v > 0 else v * penalty

    return [new(v) if i in seen else v for i, v in enumerate(x)]


def presence(x, history, prompt, penalty, window=None, with_prompt=False):
    seen = counts(x, history, prompt, window, with_prompt)
    return [v - penalty if i in seen else v for i, v in enumerate(x)]


def frequency(x, history, prompt, penalty, window=None, with_prompt=False):
    seen = counts(x, history, prompt, window, with_prompt)
    return [v - penalty * seen.get(i, 0) for i, v in enumerate(x)]


def no_repeat_ngram(x, history, prompt, n):
    tokens = real(history, len(x))
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    start = tuple(tokens[len(tokens) - n + 1 :]) if n > 1 else ()
    return [-INF if (*start, i) in grams else v for i, v in enumerate(x)]


def dry(x, history, prompt, multiplier, base=1.75, allowed=2, window=None, breakers=()):
    """By brute force: each token that was there, each length, token by token."""
    tokens = real(history, len(x))
    tokens = tokens if window is None else tokens[max(len(tokens) - window, 0) :]
    breakers = [[b] if isinstance(b, int) else list(b) for b in breakers]
    usable = len(tokens)  # how many of the latest tokens come after every breaker
    for b in breakers:
        for i in range(len(tokens) - len(b) + 1):
            if tokens[i : i + len(b)] == b:
                usable = min(usable, len(tokens) - i - len(b))
    longest: dict[int, int] = {}
    for i, t in enumerate(tokens):
        for m in range(min(i, usable) + 1):
            if tokens[i - m : i] == tokens[len(tokens) - m :]:
                longest[t] = max(longest.get(t, 0), m)

    def new(t, v):
        m = longest.get(t, -1)
        if m < allowed or [t] in breakers:
            return v
        most = math.floor(math.log(FLOAT_MAX) / math.log(base)) if base > 1 else 0
        return v - multiplier * base ** min(m - allowed, most)

    return [new(t, v) for t, v in enumerate(x)]


def plus(v, b):
    return -INF if -INF in (v, b) else v + b


def logit_bias(x, history, prompt, bias):
    return [plus(v, bias.get(i, 0.0)) for i, v in enumerate(x)]


def suppress(x, history, prompt, ids, steps=INF):
    early = len(real(history[prompt:], len(x))) < steps
    return [-INF if early and i in ids else v for i, v in enumerate(x)]


def allow(x, history, prompt, ids):
    return [v if i in ids else -INF for i, v in enumerate(x)]


def sequence_bias(x, history, prompt, bias):
    tokens = real(history, len(x))
    for sequence, b in bias.items():
        head = list(sequence[:-1])
        if not head or tokens[-len(head) :] == head:
            x = [plus(v, b) if i == sequence[-1] else v for i, v in enumerate(x)]
    return x


def bad_words(x, history, prompt, sequences, whole):
    tokens = history if whole else history[prompt:]
    return sequence_bias(x, tokens, prompt, {tuple(s): -INF for s in sequences})


def forced(x, history, prompt, tokens):
    token = tokens.get(len(real(history[prompt:], len(x))))
    return x if token is None else [0.0 if i == token else -INF for i in range(len(x))]


def length_decay(x, history, prompt, start, factor, end):
    late = len(real(history[prompt:], len(x))) - start
    if late <= 0 or math.isinf(x[end]):
        return x
    return [v + abs(v) * (factor**late - 1) if i == end else v for i, v in enumerate(x)]


RULES = {
    "RepetitionPenalty": repetition,
    "PresencePenalty": presence,
    "FrequencyPenalty": frequency,
    "NoRepeatNGram": no_repeat_ngram,
    "DRY": dry,
    "LogitBias": lambda x, h, p, bias: logit_bias(x, h, p, dict(bias)),
    "SuppressTokens": lambda x, h, p, ids, n: suppress(x, h, p, ids, INF if n is None else n),
    "AllowTokens": allow,
    "SequenceBias": lambda x, h, p, bias: sequence_bias(x, h, p, dict(bias)),
    "BadWords": bad_words,
    "MinNewTokens": lambda x, h, p, n, ids, whole: suppress(x, h, 0 if whole else p, ids, n),
    "ForcedTokens": lambda x, h, p, tokens, whole: forced(x, h, 0 if whole else p, dict(tokens)),
    "LengthDecay": lambda x, h, p, start, factor, ids: length_decay(x, h, p, start, factor, ids[0]),
}


def apply(transform, x: list[float], history: list[int], prompt: int) -> list[float]:
    """Return what a transform of the library must give: its name and its fields choose the rule."""
    return RULES[type(transform).__name__](x, history, prompt, *vars(transform).values())
