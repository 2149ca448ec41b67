"""The strategies once more, in float64 and plain Python, written from their formulas.

Nothing here is shared with the library: a row is a list of floats, a chain a list of
(name, value, ...) tuples, a removed token is -inf.
"""

import itertools
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


def entropy(x: list[float]) -> float:
    return -math.fsum(p * math.log(p) for p in softmax(x) if p > 0)


def dynamic_temperature(x: list[float], t: float, reach: float, exponent: float) -> list[float]:
    finite = sum(v > -INF for v in x)
    if finite <= 1:
        return x
    low = max(0.0, t - reach)
    return temperature(x, low + (t + reach - low) * (entropy(x) / math.log(finite)) ** exponent)


def typical(x: list[float], p: float) -> list[float]:
    probabilities, kept, mass, h = softmax(x), [], 0.0, entropy(x)
    able = [i for i in order(x) if probabilities[i] > 0]
    for i in sorted(able, key=lambda i: abs(-math.log(probabilities[i]) - h)):
        if mass >= p:
            break
        kept.append(i)
        mass += probabilities[i]
    return x if p == 1 else keep(x, kept)


def at_least(x: list[float], floor: float) -> list[float]:
    kept = [i for i, p in enumerate(softmax(x)) if p >= floor]
    return keep(x, kept or order(x)[:1])


def epsilon(x: list[float], e: float) -> list[float]:
    return at_least(x, e)


def eta(x: list[float], e: float) -> list[float]:
    return at_least(x, min(e, math.sqrt(e) * math.exp(-entropy(x))))


def top_a(x: list[float], a: float) -> list[float]:
    return at_least(x, a * max(softmax(x)) ** 2)


def p_less(x: list[float]) -> list[float]:
    return at_least(x, math.fsum(p * p for p in softmax(x)))


def top_n_sigma(x: list[float], n: float) -> list[float]:
    finite = [v for v in x if v > -INF]
    mean = math.fsum(finite) / len(finite)
    sigma = math.sqrt(math.fsum((v - mean) ** 2 for v in finite) / len(finite))
    return keep(x, [i for i, v in enumerate(x) if v >= max(x) - n * sigma])


def top_h(x: list[float], h: float) -> list[float]:
    if h == 1:
        return x
    ids, bound = order(x), h * entropy(x) * (1 + 1e-12)  # equal on paper is equal here
    count = 1
    while count < len(x) and entropy(keep(x, ids[: count + 1])) <= bound:
        count += 1
    return keep(x, ids[:count])


def xtc(x: list[float], probability: float, threshold: float) -> list[float]:
    """With the coin on heads: the probability must be 1 or 0."""
    top = [i for i in order(x) if softmax(x)[i] >= threshold]
    return keep(x, set(range(len(x))) - set(top[:-1])) if probability else x


def mirostat(x: list[float], tau: float, version: int = 2) -> list[float]:
    """The first step, at which the limit is twice tau."""
    mu, p, ids = 2 * tau, softmax(x), order(x)
    if version == 2:
        kept = [i for i in ids if p[i] > 0 and -math.log2(p[i]) <= mu]
        return keep(x, kept or ids[:1])
    first = [i for i in ids if x[i] > -INF][:100]
    if len(first) < 2:
        return x
    t = [math.log((i + 2) / (i + 1)) for i in range(len(first) - 1)]
    b = [x[i] - x[j] for i, j in itertools.pairwise(first)]  # ln of p_i / p_j
    s = math.fsum(u * v for u, v in zip(t, b, strict=True)) / math.fsum(u * u for u in t)
    e = s - 1
    log_k = math.log((e * 2**mu) / (1 - len(x) ** -e)) / s
    return x if log_k > math.log(len(x)) else keep(x, ids[: max(1, math.floor(math.exp(log_k)))])


def adaptive_p(x: list[float], target: float) -> list[float]:
    """The first step, at which the aim is the target itself."""
    distances = [abs(p - target) / 0.3 for p in softmax(x)]
    return [
        -INF if v == -INF else 5 - 10 * d * d / (1 + d) for v, d in zip(x, distances, strict=True)
    ]


RULES = {
    "Temperature": temperature,
    "DynamicTemperature": dynamic_temperature,
    "TopK": top_k,
    "TopP": top_p,
    "MinP": min_p,
    "Typical": typical,
    "Epsilon": epsilon,
    "Eta": eta,
    "TopA": top_a,
    "TopNSigma": top_n_sigma,
    "TopH": top_h,
    "PLess": p_less,
    "XTC": xtc,
    "Mirostat": mirostat,
    "AdaptiveP": adaptive_p,
}


def chain(x: list[float], steps: list[tuple]) -> list[float]:
    for name, *values in steps:
        x = RULES[name](x, *values)
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
