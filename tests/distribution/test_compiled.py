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
from logit_sampling.distribution import compiled, eager
from logit_sampling.distribution.compiled import Program
from logit_sampling.distribution.recorded import TOP
from logit_sampling.distribution.weights import BLOCK, Weights

numba = pytest.importorskip("numba")
kernels: Any = pytest.importorskip("logit_sampling.distribution.kernels")

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
whole = ls.Sampler()._whole_chain
SIZES = [1, 2, 5, 64, 128, 129, 512, 1024, 1025, 5000, 20000]
TRANSFORMS: list[Any] = [
    lambda rng: ls.Temperature(float(rng.choice([0.0, 0.1, 0.7, 1.0, 1.5, 5.0, 1e-6, 1e30]))),
    lambda rng: ls.TopK(int(rng.choice([1, 2, 5, 50, 400, 3000]))),
    lambda rng: ls.TopP(float(rng.choice([1e-9, 0.01, 0.3, 0.5, 0.9, 0.99, 1.0]))),
    lambda rng: ls.MinP(float(rng.choice([0.0, 0.001, 0.05, 0.3, 1.0]))),
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGIT_SAMPLING_ENGINE", "numba")


def plain(sampler: Any) -> Any:
    """Return a sampler that NumPy serves."""
    own = copy.copy(sampler)
    own.__dict__["_program"] = None
    return own


def case(rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """Return a chain and a row."""
    chosen = [TRANSFORMS[rng.integers(4)](rng) for _ in range(rng.integers(0, 4))]
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
        program = Program.of(sampler)
        assert program is not None, sampler
        found = change(program).draw(row, word, step, sampler._whole_chain)
        if found is None:
            left += 1
        else:
            expected = told(functools.partial(plain(sampler), row, seed=word, step=step))
            different += type(expected) is str or int(found) != int(expected)
    return different, left


def test_the_tokens_are_those_of_numpy() -> None:
    draws = int(os.environ.get("LOGIT_SAMPLING_DRAWS", 4000))  # 200,000 were run by hand
    different, left = compared(draws, 0)
    assert different == 0
    assert left < 0.25 * draws


@pytest.mark.parametrize("operation", range(4))
def test_a_slightly_wrong_kernel_is_found(operation: int) -> None:
    def wrong(program: Program) -> Program:
        changed = program.parameters * np.where(program.operations == operation, 0.97, 1.0)
        whole = np.maximum(np.floor(changed), 1.0)
        return program._replace(parameters=np.where(program.operations == TOP, whole, changed))

    assert compared(1500, 1, wrong)[0] > 0


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
    program = Program.of(sampler)
    assert program is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = program.draw(rows, 5, 0, sampler._whole_chain)
        assert ids is not None
        assert ids.tolist() == plain(sampler)(rows, seed=5).tolist()
    rows[3] = -np.inf
    assert program.draw(rows, 5, 0, sampler._whole_chain) is None
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

    assert Program.of(ls.Sampler()) is not None
    assert Program.of(ls.Sampler(ls.MinP(0.1), ls.Temperature(0.5))) is not None
    assert Program.of(ls.Greedy(ls.TopK(3))) is not None
    for transform in (
        *(ls.Typical(0.9), ls.Temperature([0.5, 1.0]), ls.XTC(0.5, 0.1), ls.RepetitionPenalty(1.2)),
        *(Mine(3), ls.stateless(lambda logits: logits / 2), ls.TopNSigma(1.0), ls.TopH(0.4)),
    ):
        assert Program.of(ls.Sampler(ls.TopK(9), transform)) is None, transform


def test_samplers_with_programs_are_copied_and_pickled() -> None:
    row, sampler = np.arange(9, dtype=np.float32), ls.Sampler(ls.TopK(5))
    ids = sampler(row, seed=1)
    for other in (pickle.loads(pickle.dumps(sampler)), copy.deepcopy(sampler)):
        assert other == sampler and other(row, seed=1) == ids


def test_the_random_numbers_are_those_of_all_engines() -> None:
    rng = np.random.default_rng(4)
    for low, high, step in rng.integers(0, 2**32, (300, 3)).tolist():
        own = kernels._uniform(np.uint32(low), np.uint32(high), np.int32(step // 2))
        assert own == eager.uniforms([(low, high)], [step // 2], 0)[0]


def test_exponentials_and_sums() -> None:
    logs = np.linspace(-699.9, 0, 20001)
    own = np.array([kernels._exp(log) for log in logs])
    assert np.abs(own / np.exp(logs) - 1).max() < 4.5e-16
    logs = np.linspace(-86.9, 0, 20001).astype(np.float32)
    own = np.array([kernels._exp_32(log) for log in logs], np.float64)
    assert np.abs(own / np.exp(logs.astype(np.float64)) - 1).max() < 2.6 * 2.0**-24
    rng = np.random.default_rng(5)
    for name, make in ROWS.items():
        for n, temperature in ((BLOCK, 1.0), (5 * BLOCK + 77, 0.7), (3, 2.0)):
            row = make(rng, n).astype(np.float32)
            row[0] = max(row[0], 0)  # not all at -inf
            peak, sums = float(row.max()), np.empty(-(-n // BLOCK))
            weights = Weights(row, peak, temperature)
            exact = weights.total
            kernels._sum_up(row, peak, temperature, sums)
            assert sums.sum() == pytest.approx(exact, rel=1e-14), name
            error = kernels._estimate(row, peak, temperature, sums)
            assert abs(sums.sum() - exact) < error / 2, name  # half of it is kept for the cut


SUMS = """
import json, sys
import numpy as np
from logit_sampling.distribution import kernels
rng, told = np.random.default_rng(0), []
for scale in (0.1, 3.0, 100.0):
    row, sums = rng.normal(0, scale, 5000).astype(np.float32), np.empty(5)
    kernels._sum_up(row, float(row.max()), 0.7, sums)
    told.append(sums.tobytes().hex())
    kernels._estimate(row, float(row.max()), 0.7, sums)
    told.append(sums.tobytes().hex())
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
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / str(i))} | environment,
        )
        for i, environment in enumerate([{}, least])
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

    def noting(*given: Any) -> None:
        names.add(threading.current_thread().name)
        draw(*given)

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
        program = Program.of(ls.Sampler())
        assert program is not None
        assert ls.engine() == "numba" and program.draw(row, 1, 0, whole) is not None
        compiled._kernels.cache_clear()
        monkeypatch.setenv("LOGIT_SAMPLING_ENGINE", "numpy")
        assert ls.engine() == "numpy"
        assert [program.draw(row, 1, 0, whole) for _ in range(1200)] == [None] * 1200
        monkeypatch.setenv("LOGIT_SAMPLING_ENGINE", "fast")
        with pytest.raises(ValueError, match='must be "numba" or "numpy", got \'fast\''):
            ls.engine()

    def test_it_is_loaded_once_it_pays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LOGIT_SAMPLING_ENGINE")
        assert ls.engine() == "numba"
        rows, program = np.zeros((300, 5), np.float32), Program.of(ls.Sampler())
        assert program is not None
        served = [program.draw(rows, 1, 0, whole) is not None for _ in range(6)]
        assert served == [False, False, False, True, True, True]

    def test_it_is_not_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ValueError, match=r"not installed: pip install .logit-sampling\[fast\]"):
            ls.engine()
        monkeypatch.delenv("LOGIT_SAMPLING_ENGINE")
        assert ls.engine() == "numpy"
        monkeypatch.setattr(compiled._Process, "drawn", 5000)
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
