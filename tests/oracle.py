"""What the library is held against: the formulas of its strategies, and its random numbers again.

A row is a list of floats, a chain a list of (name, value, ...) tuples, a removed token is -inf. The
formulas are those of the strategies' own files, which are plain Python; nothing here or there is
shared with the engines.
"""

import logit_sampling as ls
from logit_sampling.strategies._formula import in_order as order
from logit_sampling.strategies._formula import softmax

__all__ = ["after", "chain", "draw", "order", "softmax", "threefry", "transform", "uniform"]


def transform(name, *values):
    if name == "Mirostat" and len(values) > 1:
        return ls.Mirostat(values[0], version=values[1])
    return getattr(ls, name)(*values)


def chain(x: list[float], steps: list[tuple]) -> list[float]:
    """What is left of a row; a coin falls on heads if its probability is not 0."""
    for name, *values in steps:
        own = transform(name, *values)
        heads = [] if own.chance() is None else [own.chance() > 0]
        x = own.formula(x, *heads)
    return x


def after(own, x: list[float], history: list[int], prompt: int) -> list[float]:
    """What a transform makes of a row after a history, of which -1 is padding."""
    past, generated = (
        [int(t) for t in tokens if 0 <= t < len(x)] for tokens in (history, history[prompt:])
    )
    return own.formula(x, past, generated) if own.reads_history() else own.formula(x)


def threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32-20 on Python integers, as Salmon et al. 2011 describe it."""
    mask = 0xFFFFFFFF
    ks = [key[0], key[1], 0x1BD11BDA ^ key[0] ^ key[1]]
    a, b = (counter[0] + ks[0]) & mask, (counter[1] + ks[1]) & mask
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    for i in range(20):
        a = (a + b) & mask
        r = rotations[i % 8]
        b = ((b << r | b >> (32 - r)) & mask) ^ a
        if i % 4 == 3:
            s = i // 4 + 1
            a = (a + ks[s % 3]) & mask
            b = (b + ks[(s + 1) % 3] + s) & mask
    return a, b


def uniform(seed: int, step: int) -> float:
    words = threefry((seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF), (step, 0))
    return (words[0] >> 5) / 2**27 + (words[1] >> 6) / 2**53


def draw(x: list[float], seed: int, step: int) -> int:
    """The first token at which the cumulative probability passes the uniform number."""
    u, total = uniform(seed, step), 0.0
    for i, p in enumerate(softmax(x)):
        total += p
        if total > u:
            return i
    raise AssertionError("the probabilities do not sum to 1")
