"""The strategies once more, in float64 and plain Python, written from their formulas.

Nothing here is shared with the library: a row is a list of floats, a chain a list of
(name, value) pairs, a removed token is -inf.
"""

import math

INF = math.inf


def softmax(x: list[float]) -> list[float]:
    top = max(x)
    weights = [0.0 if v == -INF else math.exp(v - top) for v in x]
    total = math.fsum(weights)
    return [w / total for w in weights]


def order(x: list[float]) -> list[int]:
    """Token ids, the greatest logit first, of equals the lower id first."""
    return sorted(range(len(x)), key=lambda i: (-x[i], i))


def keep(x: list[float], ids) -> list[float]:
    return [v if i in set(ids) else -INF for i, v in enumerate(x)]


def temperature(x: list[float], t: float) -> list[float]:
    return keep(x, order(x)[:1]) if t == 0 else [v / t for v in x]


def top_k(x: list[float], k: int) -> list[float]:
    return keep(x, order(x)[:k])


def top_p(x: list[float], p: float) -> list[float]:
    probabilities, kept, before = softmax(x), [], 0.0
    for i in order(x):
        if kept and before >= p:
            break
        kept.append(i)
        before += probabilities[i]
    return x if p == 1 else keep(x, kept)


def min_p(x: list[float], m: float) -> list[float]:
    if m == 0:
        return x
    return keep(x, [i for i, v in enumerate(x) if v >= max(x) + math.log(m)])


RULES = {"Temperature": temperature, "TopK": top_k, "TopP": top_p, "MinP": min_p}


def chain(x: list[float], steps: list[tuple[str, float]]) -> list[float]:
    for name, value in steps:
        x = RULES[name](x, value)
    return x


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
