"""The kernels draw what NumPy draws, and leave to it what they cannot decide."""

import copy
import functools
import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution import compiled, eager, recorded
from logit_sampling.distribution.compiled import Program
from logit_sampling.distribution.weights import BLOCK

numba = pytest.importorskip("numba")
kernels: Any = pytest.importorskip("logit_sampling.distribution.kernels")
arithmetic, machine, rows_of_kernels, kernel_sums = (
    pytest.importorskip(f"logit_sampling.distribution.kernels.{name}")
    for name in ("arithmetic", "machine", "rows", "sums")
)


@functools.cache
def alone(function: Any) -> Any:
    """Return what only kernels can call as something that Python can."""
    return numba.njit(function.py_func, error_model="numpy")


ROWS: dict[str, Any] = {
    "language-like": lambda rng, n: rng.normal(0, 2, n) + 8 * (rng.random(n) < 0.01),
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "ties": lambda rng, n: np.round(rng.normal(0, 2, n)),
    "equal": lambda rng, n: np.full(n, 3.0),
    "holes": lambda rng, n: np.where(rng.random(n) < 0.6, -np.inf, rng.normal(0, 3, n)),
    "nearly flat": lambda rng, n: rng.normal(0, 1, n) * 1e-3 + 5,
    "steep": lambda rng, n: rng.normal(0, 300, n),
    "log-probabilities": lambda rng, n: np.log(rng.dirichlet(np.full(n, 0.1)) + 1e-30),
}
SIZES = [1, 2, 5, 64, 128, 129, 512, 1024, 1025, 5000, 20000]


def pick(*values: float) -> Any:
    """Return what chooses one of some values."""
    return lambda rng: float(rng.choice(values))


def whole_pick(*values: int) -> Any:
    """Return what chooses one of some whole numbers."""
    return lambda rng: int(rng.choice(values))


PARAMETERS: dict[str, dict[str, Any]] = {
    "Temperature": {"temperature": pick(0.0, 0.1, 0.7, 1.0, 1.5, 5.0, 1e-6, 1e30)},
    "TopK": {"k": whole_pick(1, 2, 5, 50, 400, 3000)},
    "TopP": {"p": pick(1e-9, 0.01, 0.3, 0.5, 0.9, 0.99, 1.0)},
    "MinP": {"p": pick(0.0, 0.001, 0.05, 0.3, 1.0)},
    "Typical": {"p": pick(0.01, 0.2, 0.5, 0.9, 0.99, 1.0)},
    "Epsilon": {"epsilon": pick(0.0, 1e-5, 3e-4, 0.05, 0.5)},
    "Eta": {"epsilon": pick(0.0, 1e-5, 3e-4, 0.05, 0.5)},
    "TopA": {"a": pick(0.0, 0.01, 0.2, 1.0)},
    "PLess": {},
    "XTC": {"probability": pick(0.0, 0.5, 1.0), "threshold": pick(0.0, 0.001, 0.05, 0.3)},
    "TopNSigma": {"n": pick(0.1, 1.0, 2.0, 5.0)},
    "TopH": {
        "h": pick(0.05, 0.4, 0.9, 1.0),
        "renormalize": lambda rng: bool(rng.random() < 0.7),
        "first": lambda rng: None if rng.random() < 0.7 else 100,
    },
    "DynamicTemperature": {
        "temperature": pick(0.0, 0.5, 1.0, 2.0),
        "range": pick(0.0, 0.5, 1.5),
        "exponent": pick(0.3, 1.0, 2.0),
    },
}
PER_ROW = {
    "probability",
    "threshold",
    "temperature",
    "k",
    "p",
    "epsilon",
    "a",
    "n",
    "h",
    "range",
    "exponent",
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGIT_SAMPLING_ENGINE", "numba")


def plain(sampler: Any) -> Any:
    """Return a sampler that NumPy serves."""
    own = copy.copy(sampler)
    own.__dict__["_compiled"] = len(sampler.transforms), None
    own.__dict__["_program"] = None
    return own


def draw_of(sampler: Any, logits: np.ndarray, seed: int = 1, step: int = 0) -> Any:
    """Return what the kernels draw, None if they leave it to NumPy."""
    return sampler._program.draw(logits, seed, step, sampler._chain_of_rows)


def transform_of(rng: np.random.Generator, rows: int = 1) -> Any:
    """Return a transform; of several rows, perhaps with a parameter for each."""
    name = list(PARAMETERS)[rng.integers(len(PARAMETERS))]
    settings = {}
    for parameter, choose in PARAMETERS[name].items():
        several = rows > 1 and parameter in PER_ROW and rng.random() < 0.5
        settings[parameter] = [choose(rng) for _ in range(rows)] if several else choose(rng)
    return getattr(ls, name)(**settings)


def case(rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """Return a chain and a row."""
    chosen = [transform_of(rng) for _ in range(rng.integers(0, 4))]
    row = ROWS[list(ROWS)[rng.integers(len(ROWS))]](rng, int(rng.choice(SIZES)))
    return (ls.Greedy if rng.random() < 0.1 else ls.Sampler)(*chosen), row.astype(np.float32)


def told(call: Any) -> Any:
    """Return what a call returns, or the error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except ValueError as error:
            return str(error)


def compared(draws: int, seed: int, change: Any = lambda program: program) -> tuple[int, int]:
    """Return how many draws differ from those of NumPy, and how many were left to it."""
    rng, different, left = np.random.default_rng(seed), 0, 0
    for _ in range(draws):
        sampler, row = case(rng)
        step, word = int(rng.integers(2**31)), int(rng.integers(2**63)) - 2**62
        assert sampler._program is not None, sampler
        found = change(sampler._program).draw(row, word, step, sampler._chain_of_rows)
        if found is None:
            left += 1
        else:
            expected = told(functools.partial(plain(sampler), row, seed=word, step=step))
            wrong = type(expected) is str or int(found) != int(expected)
            if wrong and "LOGIT_SAMPLING_DRAWS" in os.environ:
                print(sampler, row.size, word, step, found, expected)
            different += wrong
    return different, left


def test_the_tokens_are_those_of_numpy() -> None:
    draws = int(os.environ.get("LOGIT_SAMPLING_DRAWS", 4000))  # 200,000 were run by hand
    first = int(os.environ.get("LOGIT_SAMPLING_FIRST", 0))
    different, left = compared(draws, first)
    assert different == 0
    assert left < 0.25 * draws


@pytest.mark.parametrize("operation", ["NUMBER", "LOG_TOTAL", "MEAN_LOG", "LOG_COLLISION", "STD"])
def test_a_slightly_wrong_kernel_is_found(operation: str) -> None:
    """Its parameters are off by a thousandth, or one measure stands for another."""
    code = getattr(recorded, operation)

    def wrong(program: Program) -> Program:
        if code == recorded.NUMBER:
            return program._replace(
                arguments=program.arguments * np.where(program.codes == code, 0.97, 1.0)
            )
        other = recorded.MEAN_LOG if code == recorded.LOG_TOTAL else recorded.LOG_TOTAL
        codes = np.where(program.codes == code, other, program.codes)
        return program._replace(codes=codes.astype(np.int8))

    assert compared(1500, 1, wrong)[0] > 0


def test_rows_have_parameters_and_log_probabilities_of_their_own() -> None:
    rng, served = np.random.default_rng(11), 0
    for _ in range(300):
        rows, n = int(rng.integers(2, 5)), int(rng.choice(SIZES))
        sampler = ls.Sampler(*(transform_of(rng, rows) for _ in range(rng.integers(1, 4))))
        make = ROWS[list(ROWS)[rng.integers(len(ROWS))]]
        logits = np.stack([make(rng, n) for _ in range(rows)]).astype(np.float32)

        def drawn(own: Any, logits: np.ndarray = logits) -> Any:
            state = own.init([[1]] * len(logits), logits.shape[1], seed=5)
            return own.step(logits, state, return_log_prob=True)

        one, other = (told(functools.partial(drawn, own)) for own in (sampler, plain(sampler)))
        if type(other) is str:
            assert one == other
            continue
        served += sampler._program.kernels_for(logits) is not None
        assert one[0].tolist() == other[0].tolist(), sampler
        np.testing.assert_allclose(one[2], other[2], rtol=1e-6, atol=1e-6)
        again = told(functools.partial(sampler, logits, seed=5, step=1))
        assert again.tolist() == one[0].tolist()
    assert served > 200


def test_the_end_of_a_chain_is_served_behind_what_is_not() -> None:
    rng = np.random.default_rng(12)
    logits = rng.normal(0, 3, (3, 2000)).astype(np.float32)
    chain = (ls.Temperature(0.9), ls.TopP(0.9))
    heads: list[Any] = [
        *((ls.RepetitionPenalty(1.3),), (ls.DRY(0.8),), (ls.FrequencyPenalty(0.5), ls.TopK(900))),
        *(
            (ls.XTC(0.5, 0.05, protected=[1]),),
            (ls.Mirostat(),),
            (ls.Quadratic(0.2),),
            (ls.LogitBias({3: 4.0}),),
        ),
        *((ls.stateless(lambda x: x / 2),), (ls.BadWords([[5], [6, 7]]),), (ls.MinK(3.0),)),
    ]
    for head in heads:
        sampler = ls.Sampler(*head, *chain)
        assert sampler._program is None
        assert sampler._compiled[0] <= len(head) and sampler._compiled[1] is not None
        states = [own.init([[1, 2, 1, 2, 3]] * 3, 2000, seed=3) for own in (sampler, sampler)]
        for _ in range(8):
            ids, expected = [], []
            for place, own in enumerate((sampler, plain(sampler))):
                token_ids, states[place], log_prob = own.step(
                    logits, states[place], return_log_prob=True
                )
                (ids if place == 0 else expected).extend([token_ids, log_prob])
            assert ids[0].tolist() == expected[0].tolist(), sampler
            np.testing.assert_allclose(ids[1], expected[1], rtol=1e-6, atol=1e-6)


def test_long_prefixes_end_where_numpy_ends_them() -> None:
    """Rows that are cut in bins: the kept tokens, and not only a draw, are compared."""
    rng = np.random.default_rng(13)
    for name, make in ROWS.items():
        for n in (3000, 5000, 40000):
            row = make(rng, n).astype(np.float32)
            for transform in (ls.TopP(0.6), ls.TopP(0.999), ls.TopH(0.97), ls.Epsilon(1e-6)):
                sampler = ls.Sampler(transform)
                expected = plain(sampler).probabilities(row)
                # The likeliest token that is left at each of many places of the mass.
                for step in range(20):
                    found = draw_of(sampler, row, 2, step)
                    if found is not None:
                        assert expected[found] > 0, (name, transform)
                        assert found == plain(sampler)(row, seed=2, step=step), (name, transform)


def test_no_kernel_reads_or_writes_beside_its_arrays(tmp_path: Any) -> None:
    code = (
        "from tests.distribution.test_compiled import compared, numba\n"
        "assert numba.config.BOUNDSCHECK == 1\n"
        "print(compared(1500, 7)[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)},
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout == "0\n", run.stderr[-2000:]


def test_a_batch_is_its_rows() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(0, 3, (20, 700)).astype(np.float32)
    sampler = ls.Sampler(ls.Temperature(0.9), ls.TopK(40), ls.TopP(0.9))
    for seed in (0, -1, 2**64 + 5, 123456789012345):
        ids = sampler(rows, seed=seed, step=9)
        assert ids.dtype == np.int32 and ids.shape == (20,)
        assert ids.tolist() == plain(sampler)(rows, seed=seed, step=9).tolist()
    assert sampler(rows[0], seed=3).shape == ()
    assert len({int(sampler(rows[0])) for _ in range(40)}) > 1  # fresh entropy


def called(sampler: Any, logits: Any, seed: Any) -> Any:
    """Return what there is to see of a call."""
    ids = sampler(logits, seed=seed)
    return type(ids), np.shape(ids), None if seed is None else np.asarray(ids).tolist()


def stepped(sampler: Any, logits: Any, seed: Any) -> Any:
    """Return what there is to see of a step."""
    rows = len(logits) if np.ndim(logits) == 2 else 1
    state = sampler.init([[1, 2]] * rows, np.shape(logits)[-1], seed=seed)
    ids, after = sampler.step(logits, state)
    assert np.asarray(after.step).tolist() == [3] * rows
    assert np.array_equal(after.seed, state.seed)
    return type(ids), np.shape(ids), None if seed is None else np.asarray(ids).tolist()


@pytest.mark.parametrize("way", [called, stepped])
def test_what_is_unusual_is_as_without(way: Any) -> None:
    rng = np.random.default_rng(3)
    row, rows = (rng.normal(0, 3, shape).astype(np.float32) for shape in (50, (4, 50)))
    bad, empty, sure = row.copy(), np.full(50, -np.inf, np.float32), row.copy()
    bad[7], sure[9] = np.nan, np.inf
    read_only = rows.copy()
    read_only.flags.writeable = False
    sampler = ls.Sampler(ls.TopK(9), ls.TopP(0.8))
    given: list[Any] = [
        *(row, rows, bad, -bad, empty, sure, read_only, rows[:, ::2], rows.T, rows[:0]),
        *(row.astype(np.float64), row.astype(np.float16), row.astype(">f4"), row[:0], rows[None]),
        *(np.zeros(5, int), row.tolist(), np.ma.masked_less(row, 0), row / 100),
    ]
    for logits, seed in itertools.product(given, (5, None, [1, 2, 3, 4], 1.5, "a")):
        one, other = (
            told(functools.partial(way, own, logits, seed)) for own in (sampler, plain(sampler))
        )
        assert one == other, (logits, seed)


def test_rows_that_the_kernels_leave_are_drawn_beside_the_others() -> None:
    rng = np.random.default_rng(10)
    rows = rng.normal(0, 3, (6, 3000)).astype(np.float32)
    rows[2], rows[4] = np.inf, rows[4] / 100  # without a doubt, and what looks like probabilities
    rows[4] -= rows[4].max() - 0.5
    sampler = ls.Sampler(ls.TopP(0.9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = draw_of(sampler, rows, 5)
        assert ids is not None
        assert ids.tolist() == plain(sampler)(rows, seed=5).tolist()
    rows[3] = -np.inf
    assert draw_of(sampler, rows, 5) is None
    with pytest.raises(ValueError, match="every token of row 3 is at -inf"):
        sampler(rows, seed=5)


@pytest.mark.parametrize("library", ["tensorflow", "jax", "torch"])
def test_tensors_are_served_too(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip(library)
    make = {"tensorflow": "convert_to_tensor", "jax": "numpy.asarray", "torch": "from_numpy"}
    served = []
    draw = kernels.draw

    def counting(*given: Any) -> None:
        served.append(len(given[0]))
        draw(*given)

    monkeypatch.setattr(kernels, "draw", counting)
    rows = np.random.default_rng(8).normal(0, 3, (4, 600)).astype(np.float32)
    sampler = ls.Sampler(ls.Temperature(0.7), ls.TopP(0.9))
    for array in (rows, rows[0]):
        tensor = functools.reduce(getattr, make[library].split("."), module)(array)
        found, expected = (own(tensor, seed=3) for own in (sampler, plain(sampler)))
        assert type(found) is type(expected) and found.dtype == expected.dtype
        assert np.array_equal(np.asarray(found), np.asarray(expected))
        state = sampler.init([[1]] * (len(array) if array.ndim == 2 else 1), 600, seed=3)
        found, after = sampler.step(tensor, state)
        expected, _ = plain(sampler).step(tensor, state)
        assert type(found) is type(expected) and after.step.tolist() == (state.step + 1).tolist()
        assert np.array_equal(np.asarray(found), np.asarray(expected))
    assert served == [4, 4, 1, 1]


def test_steps_are_validated_as_without() -> None:
    row = np.arange(5, dtype=np.float32)
    lengths: list[Any] = [0, 3, [0], np.array([0]), np.int64(0), None]
    steps: list[Any] = [0, 7, 2**31 - 1, 2**31, -1, 1.5, True, np.int64(3), [4], "a"]
    for step, length in itertools.product(steps, lengths):
        given = {"seed": 1, "step": step, "prompt_length": length}
        one, other = (
            told(functools.partial(own, row, **given))
            for own in (ls.Sampler(), plain(ls.Sampler()))
        )
        assert str(one) == str(other), given


def test_only_chains_of_ours_have_programs() -> None:
    class Mine(ls.TopK):
        """A strategy of one's own, which may do something else each time."""

    assert ls.Sampler()._program is not None
    assert ls.Sampler(ls.MinP([0.1, 0.2]), ls.Temperature(0.5))._program is not None
    assert ls.Greedy(ls.TopK(3))._program is not None
    for transform in (
        *(
            ls.XTC(0.5, 0.1, protected=[3]),
            ls.RepetitionPenalty(1.2),
            ls.Mirostat(),
            ls.Quadratic(0.1),
        ),
        *(Mine(3), ls.stateless(lambda logits: logits / 2), ls.MinK(2.0)),
    ):
        first, program = ls.Sampler(ls.TopK(9), transform, ls.TopK(5))._compiled
        assert first == 2 and program is not None, transform


def test_intervals_hold_what_their_numbers_give() -> None:
    rng = np.random.default_rng(14)
    binary = {
        recorded.ADD: np.add,
        recorded.SUBTRACT: np.subtract,
        recorded.MULTIPLY: np.multiply,
        recorded.DIVIDE: np.divide,
        recorded.MINIMUM: np.minimum,
        recorded.MAXIMUM: np.maximum,
        recorded.POWER: np.power,
        recorded.LESS: np.less,
        recorded.EQUAL: np.equal,
    }
    single = {recorded.EXP: np.exp, recorded.ABSOLUTE: np.abs}
    slots = np.zeros((recorded.SLOTS, 2, machine.LANES))
    for code, function in (*binary.items(), *single.items(), (recorded.LOG, np.log)):
        for _ in range(300):
            ends = np.sort(rng.normal(0, 2, (2, 2)), axis=1)
            if code in (recorded.LOG, recorded.POWER):
                ends[0] = np.sort(np.abs(ends[0])) + 0.01
            operands = 2 if code in binary else 1
            lanes = np.zeros((3, 2, machine.LANES))
            lanes[:2, :, 0] = ends
            assert alone(machine.push)(code, 0.0, lanes, operands, slots, 1, False) == 1
            low, high = lanes[0, :, 0]
            inside = [rng.uniform(*own, 20) for own in ends[:operands]]
            with np.errstate(divide="ignore"):
                results = function(*inside).astype(float)
            if np.isnan(low):  # what is not told
                assert np.isnan(high) and code in (recorded.DIVIDE, recorded.EQUAL)
            else:
                assert (low - 1e-12 <= results).all() and (results <= high + 1e-12).all()


def test_samplers_with_programs_are_copied_and_pickled() -> None:
    row, sampler = np.arange(9, dtype=np.float32), ls.Sampler(ls.TopK(5))
    ids = sampler(row, seed=1)
    for other in (pickle.loads(pickle.dumps(sampler)), copy.deepcopy(sampler)):
        assert other == sampler and other(row, seed=1) == ids


def test_the_random_numbers_are_those_of_all_engines() -> None:
    rng = np.random.default_rng(4)
    for low, high, step in rng.integers(0, 2**32, (300, 3)).tolist():
        own = alone(arithmetic.uniform)(np.uint32(low), np.uint32(high), np.int32(step // 2), 0)
        assert own == eager.uniforms([(low, high)], [step // 2], 0)[0]


def test_exponentials() -> None:
    logs = np.linspace(-699.9, 0, 20001)
    own = np.array([alone(arithmetic.exp)(log) for log in logs])
    assert np.abs(own / np.exp(logs) - 1).max() < 4.5e-16
    # Of all 1.1 billion float32 the error is at most 0.93 of the bound; here are some.
    bits = np.arange(0, np.float32(87).view(np.int32), 40009, np.int32)
    logs = -bits.view(np.float32)
    own = np.array([alone(arithmetic.exp_32)(log) for log in logs], np.float64)
    exact = np.exp(logs.astype(np.float64))
    bound = arithmetic.EXP_ERROR - arithmetic.EXP_ERROR_PER_LOG * logs.astype(np.float64)
    assert (np.abs(own / exact - 1) < bound * 2.0**-24).all()


def test_sums_and_the_bounds_of_their_errors() -> None:
    rng = np.random.default_rng(5)
    for name, make in ROWS.items():
        for n, temperature in ((BLOCK, 1.0), (5 * BLOCK + 77, 0.7), (3, 2.0)):
            row = make(rng, n).astype(np.float32)
            row[0] = max(row[0], 0)  # not all at -inf
            peak, blocks = float(row.max()), -(-n // BLOCK)
            best, tops = np.empty((blocks, 64), np.float32), np.empty(blocks, np.float32)
            assert (
                alone(rows_of_kernels.scan)(row, best, tops, np.empty((16, 64), np.float32)) == peak
            )
            below = np.sort(row)[n // 2]
            for least, last in ((np.float32(-np.inf), n), (below, n), (below, n // 2)):
                left = (row > least) | ((row == least) & (np.arange(n) <= last))
                given = row, tops, least, last, peak, temperature
                logs = (row[left].astype(np.float64) - peak) / temperature
                logs, masses = logs[logs > -700], np.empty(blocks)
                weights = np.exp(logs)
                exact = [(weights * part).sum() for part in (1, logs, weights)]
                found = alone(kernel_sums.sum_up)(*given, masses)
                assert found == pytest.approx(exact, rel=1e-13, abs=1e-200), name
                assert masses.sum() == pytest.approx(exact[0], rel=1e-14)
                total, error = alone(kernel_sums.estimate)(*given, masses)
                assert abs(total - exact[0]) <= error, name
                found, errors = alone(kernel_sums.estimate_moments)(*given, 0.0)
                assert (np.abs(np.subtract(found, exact)) <= errors).all(), name
                # The bounds are no wider than they have to be.
                assert errors[0] < 2e-5 * total + 1e-30 and errors[1] < 1e-3 * (1 - exact[1])
                finite = row[left][np.isfinite(row[left])].astype(np.float64)
                if finite.size:
                    deviation, count = alone(kernel_sums.deviation)(*given[:5])
                    assert count == finite.size
                    assert deviation == pytest.approx(finite.std(), rel=1e-9, abs=1e-6)


def test_logits_between_two_numbers_among_what_is_left() -> None:
    """Equals of the lower number are there, wherever those of a cut below it end."""
    row = np.repeat(np.array([3.0, 2.0, 1.0, 0.0], np.float32), 700)[::-1].copy()
    best, tops = np.empty((3, 64), np.float32), np.empty(3, np.float32)
    room = np.empty((16, 64), np.float32)
    alone(rows_of_kernels.scan)(row, best, tops, room)
    for least, last in ((-np.inf, row.size), (1.0, 900), (2.0, 1500)):
        left = (row > least) | ((row == least) & (np.arange(row.size) <= last))
        for low, high in ((1.0, 1.5), (2.0, 2.5), (2.5, 2.9), (3.0, 3.5), (0.0, 1.0)):
            given = np.float32(least), last, np.float32(low), np.float32(high)
            expected = ((row >= low) & (row < high) & left).any()
            assert alone(rows_of_kernels.any_between)(row, tops, *given, room) == expected


SUMS = """
import json, sys
import numpy as np
from numba import njit
from logit_sampling.distribution.kernels import rows, sums
scan, sum_up, estimate, estimate_moments, deviation = (
    njit(function.py_func, error_model="numpy")
    for function in (rows.scan, sums.sum_up, sums.estimate, sums.estimate_moments, sums.deviation)
)
rng, told = np.random.default_rng(0), []
best, tops, masses = np.empty((5, 64), np.float32), np.empty(5, np.float32), np.empty(5)
for scale in (0.1, 3.0, 100.0):
    row = rng.normal(0, scale, 5000).astype(np.float32)
    peak = float(scan(row, best, tops, np.empty((16, 64), np.float32)))
    given = row, tops, np.float32(-scale), 5000, peak, 0.7
    told += [sum_up(*given, masses), masses.tobytes().hex()]
    told += [estimate(*given, masses), masses.tobytes().hex()]
    told += [estimate_moments(*given, 0.0), deviation(*given[:5])]
print(json.dumps(told))
"""


def test_sums_do_not_depend_on_the_processor(tmp_path: Any) -> None:
    """Vectors of two numbers, without fused products, give the bits that this processor gives."""
    least = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse,+sse2"}
    runs = [
        subprocess.run(
            [sys.executable, "-c", SUMS],
            capture_output=True,
            text=True,
            env=os.environ | environment,
        )
        for environment in ({}, least | {"NUMBA_CACHE_DIR": str(tmp_path)})
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[1].stderr[-2000:]
    one, other = (json.loads(run.stdout) for run in runs)
    assert one == other


def test_rows_of_a_large_batch_are_drawn_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(9).normal(0, 3, (23, 3000)).astype(np.float32)
    sampler = ls.Sampler(ls.TopK(50), ls.TopP(0.9))
    expected = plain(sampler)(rows, seed=5).tolist()
    names: set[str] = set()
    draw = kernels.draw

    def noting(*given: Any) -> Any:
        names.add(threading.current_thread().name)
        return draw(*given)

    monkeypatch.setattr(kernels, "draw", noting)
    for large, cores in ((2**30, 4), (1, 1), (1, 2), (1, 4), (1, 64)):
        monkeypatch.setattr(compiled, "_LARGE", large)
        monkeypatch.setattr(compiled, "_cores", lambda cores=cores: cores)
        compiled._pool.cache_clear()
        names.clear()
        assert sampler(rows, seed=5).tolist() == expected
        assert (len(names) > 1) == (large == 1 and cores > 1)
    compiled._pool.cache_clear()
    with pytest.raises(ZeroDivisionError):  # what goes wrong in a thread comes out
        monkeypatch.setattr(kernels, "draw", lambda *given: 1 // (len(given[0]) - 6))
        monkeypatch.setattr(compiled, "_cores", lambda: 4)
        sampler(rows, seed=5)


def test_threads_draw_at_once() -> None:
    rows = np.random.default_rng(6).normal(0, 3, (200, 3000)).astype(np.float32)
    sampler = ls.Sampler(ls.Temperature(0.8), ls.TopP(0.9))
    expected = [int(plain(sampler)(row, seed=i)) for i, row in enumerate(rows)]
    found: list[list[int]] = []

    def work() -> None:
        found.append([int(sampler(row, seed=i)) for i, row in enumerate(rows)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


CHILDREN = """
import multiprocessing, os, sys
import numpy as np
import logit_sampling as ls

row = np.arange(3000, dtype=np.float32) % 17

rows = np.tile(row, (200, 1))  # large enough for threads

def draw(seed):
    sampler = ls.Sampler(ls.TopK(50), ls.TopP(0.9))
    return int(sampler(row, seed=seed)), sampler(rows, seed=seed).tolist()

if __name__ == "__main__":
    expected = [draw(seed) for seed in range(20)]
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(2) as pool:
            assert pool.map(draw, range(20)) == expected, way
    print("equal")
"""


def test_processes_that_are_forked_or_spawned(tmp_path: Any) -> None:
    script = tmp_path / "children.py"
    script.write_text(CHILDREN)
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert run.stdout == "equal\n", run.stderr[-2000:]


class TestEngine:
    @pytest.fixture(autouse=True)
    def anew(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setattr(compiled._Process, "drawn", 0)
        monkeypatch.setattr(compiled._Process, "failed", False)
        compiled._kernels.cache_clear()
        yield
        compiled._kernels.cache_clear()

    def test_it_is_told_and_can_be_chosen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        row = np.arange(5, dtype=np.float32)
        assert ls.engine() == "numba" and draw_of(ls.Sampler(), row) is not None
        compiled._kernels.cache_clear()
        monkeypatch.setenv("LOGIT_SAMPLING_ENGINE", "numpy")
        assert ls.engine() == "numpy"
        assert [draw_of(ls.Sampler(), row) for _ in range(1200)] == [None] * 1200
        monkeypatch.setenv("LOGIT_SAMPLING_ENGINE", "fast")
        with pytest.raises(ValueError, match='must be "numba" or "numpy", got \'fast\''):
            ls.engine()

    def test_it_is_loaded_once_it_pays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LOGIT_SAMPLING_ENGINE")
        assert ls.engine() == "numba"
        monkeypatch.setattr(compiled, "_pays", lambda: 1000)
        rows = np.zeros((300, 5), np.float32)
        served = [draw_of(ls.Sampler(), rows) is not None for _ in range(6)]
        assert served == [False, False, False, True, True, True]

    def test_compiling_has_to_pay_more_than_loading(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
        compiled._pays.cache_clear()
        assert compiled._pays() == 50_000
        (tmp_path / "kernels" / "__pycache__").mkdir(parents=True)
        (tmp_path / "kernels" / "__pycache__" / "draw.nbi").touch()
        compiled._pays.cache_clear()
        assert compiled._pays() == 1000
        compiled._pays.cache_clear()

    def test_it_is_not_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ValueError, match=r"not installed: pip install .logit-sampling\[fast\]"):
            ls.engine()
        monkeypatch.delenv("LOGIT_SAMPLING_ENGINE")
        assert ls.engine() == "numpy"
        monkeypatch.setattr(compiled._Process, "drawn", 60_000)
        assert int(ls.Greedy()(np.arange(4, dtype=np.float32))) == 3

    def test_kernels_that_cannot_be_compiled_warn_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "logit_sampling.distribution.kernels", None)
        monkeypatch.delattr("logit_sampling.distribution.kernels", raising=False)
        row = np.arange(4, dtype=np.float32)
        with pytest.warns(UserWarning, match="Numba cannot compile the kernels") as warned:
            assert [int(ls.Greedy()(row)) for _ in range(3)] == [3, 3, 3]
        assert len(warned) == 1
        assert ls.engine() == "numpy"
