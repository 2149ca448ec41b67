"""The door for arrays: what each kind becomes, and that whatever takes an array takes them all."""

import collections
import os
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.arrays import (
    in_graph,
    is_symbolic,
    like,
    logits_of,
    to_list,
    to_numpy,
)

LOGITS = np.array([[5.0, 1.0, 2.0, 0.0], [0.5, 3.0, -4.0, 2.5]], np.float32)  # exact in 8 bits too
HIDDEN = np.array([[True, False, False, False], [False, False, False, True]])
MASKED = np.where(HIDDEN, -np.inf, LOGITS)
INF = "pass x.to_.*float\\('-inf'\\)"


class Frame:
    """What pandas, polars and xarray offer."""

    def __init__(self, x: Any) -> None:
        self._x = x

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self._x, dtype)


class Output(collections.OrderedDict):
    """What transformers returns: names are keys and attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def objects(rows: Any) -> np.ndarray:
    array = np.empty(len(rows), object)
    array[:] = list(rows)
    return array


def bfloat16() -> Any:
    return pytest.importorskip("ml_dtypes").bfloat16


def float8() -> Any:
    return pytest.importorskip("ml_dtypes").float8_e5m2


def torch_tensor(x: np.ndarray = LOGITS) -> Any:
    return pytest.importorskip("torch").from_numpy(x.copy())


def subclass(x: Any) -> Any:
    torch = pytest.importorskip("torch")
    return x.as_subclass(type("Own", (torch.Tensor,), {}))


def tensorflow() -> Any:
    return pytest.importorskip("tensorflow")


def jax_array(dtype: str = "float32") -> Any:
    return pytest.importorskip("jax").numpy.asarray(LOGITS, dtype)


NUMPY = {
    "float16": lambda: LOGITS.astype(np.float16),
    "float32": lambda: LOGITS,
    "float64": lambda: LOGITS.astype(np.float64),
    "big-endian float16": lambda: LOGITS.astype(">f2"),
    "big-endian float32": lambda: LOGITS.astype(">f4"),
    "big-endian float64": lambda: LOGITS.astype(">f8"),
    "bfloat16": lambda: LOGITS.astype(bfloat16()),
    "float8": lambda: LOGITS.astype(float8()),
    "transposed": lambda: LOGITS.T.copy().T,
    "backwards": lambda: LOGITS[::-1].copy()[::-1],
    "read-only": lambda: np.broadcast_to(LOGITS, LOGITS.shape),
    "matrix": lambda: np.matrix(LOGITS),
    "objects": lambda: LOGITS.astype(object),
    "rows in an array of objects": lambda: objects(LOGITS),
    "memoryview": lambda: memoryview(LOGITS),
    "big-endian memoryview": lambda: memoryview(LOGITS.astype(">f8")),
    "with __array__": lambda: Frame(LOGITS),
    "of objects with __array__": lambda: Frame(LOGITS.astype(object)),
    "lists": lambda: LOGITS.tolist(),
    "tuple of rows": lambda: tuple(LOGITS),
    "list of NumPy's numbers": lambda: [list(row) for row in LOGITS],
    "list of unlike rows": lambda: [LOGITS[0].tolist(), LOGITS[1].astype(">f8")],
    "object with .logits": lambda: types.SimpleNamespace(logits=LOGITS),
    "dict": lambda: {"logits": LOGITS, "hidden": None},
    "dict with attributes": lambda: Output(loss=None, logits=LOGITS),
}
MASKS = {
    "masked": lambda: np.ma.array(LOGITS, mask=HIDDEN),
    "masked float64 of the other byte order": lambda: np.ma.array(
        LOGITS.astype(">f8"), mask=HIDDEN
    ),
    "masked bfloat16": lambda: np.ma.array(LOGITS.astype(bfloat16()), mask=HIDDEN),
    "masked float8": lambda: np.ma.array(LOGITS.astype(float8()), mask=HIDDEN),
    "masked objects": lambda: np.ma.array(LOGITS.astype(object), mask=HIDDEN),
    "list of masked rows": lambda: list(np.ma.array(LOGITS, mask=HIDDEN)),
    "masked .logits": lambda: Output(logits=np.ma.array(LOGITS, mask=HIDDEN)),
}
TENSORS = {
    "torch": torch_tensor,
    "torch float64": lambda: torch_tensor().double(),
    "torch bfloat16": lambda: torch_tensor().bfloat16(),
    "torch float8": lambda: torch_tensor().to(pytest.importorskip("torch").float8_e5m2),
    "torch with gradients": lambda: torch_tensor().requires_grad_(),
    "torch parameter": lambda: pytest.importorskip("torch").nn.Parameter(torch_tensor()),
    "torch transposed": lambda: torch_tensor(LOGITS.T).t(),
    "torch negated in place": lambda: (torch_tensor() * -1j).conj().imag,
    "torch subclass": lambda: subclass(torch_tensor()),
    "torch subclass, bfloat16, gradients": lambda: subclass(
        torch_tensor().bfloat16().requires_grad_()
    ),
    "list of torch bfloat16 rows": lambda: list(torch_tensor().bfloat16()),
    "list of torch rows with gradients": lambda: list(torch_tensor().requires_grad_()),
    "torch .logits": lambda: types.SimpleNamespace(logits=torch_tensor().requires_grad_()),
    "TensorFlow": lambda: tensorflow().constant(LOGITS),
    "TensorFlow bfloat16": lambda: tensorflow().constant(LOGITS, "bfloat16"),
    "TensorFlow float8": lambda: tensorflow().cast(
        LOGITS, tensorflow().dtypes.experimental.float8_e5m2
    ),
    "TensorFlow variable": lambda: tensorflow().Variable(LOGITS),
    "list of TensorFlow rows": lambda: tensorflow().unstack(LOGITS),
    "Keras variable": lambda: pytest.importorskip("keras").Variable(LOGITS),
    "JAX": jax_array,
    "JAX bfloat16": lambda: jax_array("bfloat16"),
    "JAX float8": lambda: jax_array("float8_e5m2"),
    "list of JAX rows": lambda: list(jax_array()),
}


WIDE = (
    *(name for name in (*NUMPY, *MASKS, *TENSORS) if "float64" in name),
    *("objects", "masked objects", "of objects with __array__", "lists", "list of unlike rows"),
    "big-endian memoryview",
)


def kind_of_result(name: str) -> type:
    for library, path in (("torch", "Tensor"), ("TensorFlow", "Tensor"), ("Keras", "Tensor")):
        if library in name:
            module = {"torch": "torch"}.get(library, "tensorflow")
            return getattr(pytest.importorskip(module), path)
    return pytest.importorskip("jax").Array if "JAX" in name else np.ndarray


def calls(x: Any) -> dict[str, Any]:
    """Everything that takes logits, called with them."""
    sampler, ids = ls.Sampler(ls.TopK(2), ls.Temperature(0.5)), [2, 1]
    state = sampler.init([[0], [1]], 4, seed=[3, 4])
    return {
        "draw": sampler(x, seed=[3, 4]),
        "greedy": ls.Greedy()(x),
        "probabilities": sampler.probabilities(x),
        "log_prob": sampler.log_prob(x, ids),
        "step": sampler.step(x, state)[0],
        "transform": ls.TopK(2)(x),
        "transform with a history": ls.RepetitionPenalty(2.0)(x, history=[[1], [2]]),
        "guide": ls.guide(x, x, 2.0),
    }


@pytest.mark.parametrize("name", [*NUMPY, *MASKS, *TENSORS])
def test_logits_of_every_kind_are_the_same_logits(name):
    make = (NUMPY | MASKS | TENSORS)[name]
    x, wanted = make(), MASKED if name in MASKS else LOGITS
    wanted = wanted.astype(np.float64 if name in WIDE else np.float32)
    expected, kind = calls(wanted), kind_of_result(name)
    for call, made in calls(x).items():
        assert isinstance(made, kind), (call, type(made))
        numbers = to_numpy(made)
        np.testing.assert_array_equal(numbers, expected[call], err_msg=call)
        assert numbers.dtype == expected[call].dtype
    explained = [row.to_dict() for row in ls.Sampler(ls.TopK(2)).explain(x, seed=1)]
    assert explained == [row.to_dict() for row in ls.Sampler(ls.TopK(2)).explain(wanted, seed=1)]


def test_the_dtype_that_is_read():
    read = {
        name: to_numpy(NUMPY[name]()).dtype
        for name in NUMPY
        if ".l" not in name and "dict" not in name
    }
    assert all(dtype.isnative for dtype in read.values())
    assert read["big-endian float64"] == np.float64 and read["big-endian float16"] == np.float16
    assert read["float8"] == np.float32 and read["bfloat16"] == bfloat16()
    assert to_numpy(LOGITS) is LOGITS  # and nothing is copied
    assert to_numpy(np.ma.array([1, 2], mask=[0, 1], dtype=np.uint8)).tolist() == [1, -1]


def sparse(library: str) -> Any:
    module = pytest.importorskip(library)
    if library == "tensorflow":
        return module.sparse.from_dense(LOGITS)
    if library == "jax.experimental.sparse":
        return module.BCOO.fromdense(LOGITS)
    return module.csr_array(LOGITS) if library == "scipy.sparse" else torch_tensor().to_sparse()


def slices() -> Any:
    tf = tensorflow()
    return tf.IndexedSlices(tf.constant(LOGITS[:1]), tf.constant([0]), tf.constant([2, 4]))


def nested() -> Any:
    return pytest.importorskip("torch").nested.nested_tensor([torch_tensor(LOGITS[0][:3])] * 2)


def masked_tensor() -> Any:
    masked = pytest.importorskip("torch.masked")
    return masked.masked_tensor(torch_tensor(), torch_tensor(~HIDDEN))


REFUSED = {
    "torch sparse": (lambda: sparse("torch"), r"a torch Tensor is sparse: pass x.to_dense\(\)"),
    "torch ragged": (nested, "rows of different lengths: " + INF),
    "torch masked": (masked_tensor, "a torch MaskedTensor hides some of its numbers: " + INF),
    "torch meta": (lambda: torch_tensor().to("meta"), "from a torch Tensor: .*pass an array"),
    "TensorFlow sparse": (lambda: sparse("tensorflow"), r"pass tf.sparse.to_dense\(x\)"),
    "ragged": (lambda: tensorflow().ragged.constant([[1.0], [1.0, 2.0]]), "RaggedTensor .*" + INF),
    "slices": (slices, r"IndexedSlices holds some rows alone: pass tf.convert_to_tensor\(x\)"),
    "symbolic Keras": (
        lambda: pytest.importorskip("keras").Input((4,)),
        "a keras KerasTensor holds no numbers: pass what the model returns",
    ),
    "JAX sparse": (lambda: sparse("jax.experimental.sparse"), r"BCOO is sparse: pass x.todense"),
    "SciPy sparse": (lambda: sparse("scipy.sparse"), r"csr_array is sparse: pass x.todense\(\)"),
    "rows of unlike lengths": (lambda: [[1.0], [1.0, 2.0]], r"one shape, got \(1,\), \(2,\)"),
    "numbers and rows": (lambda: [[1.0], 2.0], r"one shape, got \(1,\), \(\)"),
    "None": (lambda: None, "from a NoneType: it holds none; pass an array"),
    "None among numbers": (lambda: [1.0, None], "from a list: some are no numbers"),
    "None among objects": (lambda: objects([1.0, None]), "some are no numbers"),
    "integers beyond 64 bits": (lambda: [2**70], "integers beyond 64 bits"),
    "any object": (object, "from a object: it holds none"),
    "string": (lambda: ["1.0"], "floating point .* got str"),
    "dict without logits": (lambda: {"scores": LOGITS}, r"no logits in a dict with \['scores'\]"),
    "float128": (lambda: LOGITS.astype(np.longdouble), "got float128|got longdouble"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*(prototype|nested|MaskedTensor)")
def test_what_holds_no_logits_is_refused_in_a_line(name):
    make, message = REFUSED[name]
    if name == "float128" and np.dtype(np.longdouble) == np.float64:
        pytest.skip("no longer floats here")
    x = make()
    sampler = ls.Sampler(ls.TopK(2))
    for call in (
        lambda: sampler(x, seed=0),
        lambda: sampler.probabilities(x),
        lambda: sampler.log_prob(x, [0, 0]),
        lambda: sampler.step(x, sampler.init([[0], [0]], 4)),
        lambda: ls.TopK(2)(x),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


IDS = [[1, 2, 3], [2, -1, -1]]
HISTORIES = {
    "lists of unlike lengths": lambda: [[1, 2, 3], [2]],
    "int64": lambda: np.array(IDS),
    "int8": lambda: np.array(IDS, np.int8),
    "big-endian int64": lambda: np.array(IDS, ">i8"),
    "far below 0": lambda: np.array([[1, 2, 3], [2, -(2**40), -100]]),
    "masked": lambda: np.ma.array([[1, 2, 3], [2, 9, 9]], mask=[[0, 0, 0], [0, 1, 1]]),
    "masked unsigned": lambda: np.ma.array(
        [[1, 2, 3], [2, 9, 9]], mask=[[0, 0, 0], [0, 1, 1]], dtype=np.uint8
    ),
    "objects": lambda: np.array(IDS, object),
    "rows in an array of objects": lambda: objects([np.array([1, 2, 3]), [2]]),
    "tuple of arrays": lambda: (np.array([1, 2, 3], ">i4"), np.array([2], np.uint8)),
    "memoryview": lambda: memoryview(np.array(IDS)),
    "with __array__": lambda: Frame(IDS),
    "torch": lambda: torch_tensor(np.array(IDS)),
    "list of torch rows": lambda: [torch_tensor(np.array(row)) for row in ([1, 2, 3], [2])],
    "torch ragged": lambda: pytest.importorskip("torch").nested.nested_tensor(
        [torch_tensor(np.array(row)) for row in ([1, 2, 3], [2])]
    ),
    "TensorFlow": lambda: tensorflow().constant(IDS, "int64"),
    "TensorFlow variable": lambda: tensorflow().Variable(IDS),
    "RaggedTensor": lambda: tensorflow().ragged.constant([[1, 2, 3], [2]]),
    "RaggedTensor of bytes": lambda: tensorflow().ragged.constant([[1, 2, 3], [2]], "uint8"),
    "Keras variable": lambda: pytest.importorskip("keras").Variable(IDS, dtype="int32"),
    "JAX": lambda: pytest.importorskip("jax").numpy.asarray(IDS),
}
CHAIN = ls.Sampler(ls.RepetitionPenalty(2.0), ls.NoRepeatNGram(1))


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.filterwarnings("ignore:.*(prototype|nested)")
def test_histories_of_every_kind_are_the_same_history(name):
    given = HISTORIES[name]()
    wanted = CHAIN.probabilities(LOGITS, history=np.array(IDS, np.int32))
    np.testing.assert_array_equal(CHAIN.probabilities(LOGITS, history=given), wanted)
    np.testing.assert_array_equal(
        ls.RepetitionPenalty(2.0)(LOGITS, history=given), [[5, 0.5, 1, 0], [0.5, 3, -8, 2.5]]
    )
    state = CHAIN.init(given, 4, seed=[1, 2])
    assert state.step.tolist() == [3, 1]
    np.testing.assert_equal(state, CHAIN.init(np.array(IDS, np.int32), 4, seed=[1, 2]))


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (np.array([[2**31], [1]]), "below 2\\*\\*31; got 2147483648"),
        (np.array([[2**32 + 1], [1]], np.uint64), "below 2\\*\\*31; got 4294967297"),
        ([[2**70], [1]], "integers beyond 64 bits"),
        ([[0.5], [1.0]], "history must be token ids, integers"),
        ([[1], [[1]]], r"got a row of shape \(1, 1\)"),
        (np.ma.array([[0.5], [1.0]]), "history must be token ids, integers"),
        ([["a"], ["b"]], "history must be token ids, integers"),
    ],
)
def test_what_is_no_history(history, message):
    for call in (lambda: CHAIN(LOGITS, history=history), lambda: CHAIN.init(history, 4)):
        with pytest.raises(ValueError, match=message):
            call()


NUMBERS = {
    "list": lambda x: x,
    "big-endian": lambda x: np.array(x, ">i8"),
    "with __array__": lambda x: Frame(np.array(x)),
    "memoryview": lambda x: memoryview(np.array(x)),
    "torch": lambda x: torch_tensor(np.array(x)),
    "list of torch numbers": lambda x: list(torch_tensor(np.array(x))),
    "TensorFlow": lambda x: tensorflow().constant(x, "int64"),
    "TensorFlow variable": lambda x: tensorflow().Variable(x),
    "JAX": lambda x: pytest.importorskip("jax").numpy.asarray(x),
    "list of JAX numbers": lambda x: list(pytest.importorskip("jax").numpy.asarray(x)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_seeds_steps_ids_and_token_ids_of_every_kind(name):
    of, x = NUMBERS[name], np.zeros((2, 400), np.float32)
    wanted = ls.Sampler()(x, seed=[5, 9], step=[3, 700])
    assert ls.Sampler()(x, seed=of([5, 9]), step=of([3, 700])).tolist() == wanted.tolist()
    assert ls.Sampler().init([[1], [2]], 400, seed=of([5, 9])).seed.tolist() == [[5, 0], [9, 0]]
    np.testing.assert_array_equal(
        ls.Sampler().log_prob(LOGITS, of([2, 1])), ls.Sampler().log_prob(LOGITS, [2, 1])
    )
    assert ls.AllowTokens(of([2, 1])) == ls.AllowTokens([2, 1])
    assert ls.BadWords([of([2, 1])]) == ls.BadWords([[2, 1]])
    assert ls.ForcedTokens(of([2, 1])) == ls.ForcedTokens([2, 1])
    assert ls.TopK(of([2, 1])) == ls.TopK([2, 1])


def test_a_masked_number_is_no_seed_step_or_parameter():
    hidden = np.ma.array([1, 2], mask=[False, True])
    for call, message in (
        (lambda: ls.Sampler()(LOGITS, seed=hidden), "seed must be an integer"),
        (lambda: ls.Sampler()(LOGITS, step=hidden), "step must be an integer of at least 0"),
        (lambda: ls.Sampler().log_prob(LOGITS, hidden), "id -1 in row 1"),
        (lambda: ls.TopK(hidden), "got -1 in row 1"),
        (lambda: ls.AllowTokens(hidden), "token ids"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_parameters_that_are_tensors():
    torch = pytest.importorskip("torch")
    half = torch.tensor([0.5, 2.0], dtype=torch.bfloat16, requires_grad=True)
    assert ls.Temperature(half) == ls.Temperature([0.5, 2.0])
    assert ls.Temperature(half[0].float()) == ls.Temperature(0.5)
    assert ls.TopP(tensorflow().constant(0.5, "bfloat16")) == ls.TopP(0.5)


def test_a_function_of_a_user_may_return_what_a_model_returns():
    class Output:
        logits = LOGITS.astype(">f4")

    guidance = ls.Guidance(2.0, lambda ids: (Output(), "cache"))
    np.testing.assert_array_equal(guidance(LOGITS[::-1]), ls.guide(LOGITS[::-1], LOGITS, 2.0))


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        types.SimpleNamespace(logits=LOGITS),
        {"logits": LOGITS, "past": 1},
        Output(logits=LOGITS),
        (LOGITS, "cache", "hidden"),
        (types.SimpleNamespace(logits=LOGITS), "cache"),
        ({"logits": LOGITS},),
        types.SimpleNamespace(logits=(LOGITS, "auxiliary")),
        collections.namedtuple("Named", "loss logits")(0.5, LOGITS),
        collections.namedtuple("Pair", "first cache")(LOGITS, None),
    ],
    ids=lambda output: type(output).__name__,
)
def test_the_logits_in_what_a_model_returns(output):
    assert logits_of(output) is LOGITS


def test_a_model_that_returns_no_logits():
    with pytest.raises(ValueError, match=r"no logits in a dict with \['hidden'\]"):
        logits_of({"hidden": LOGITS})
    with pytest.raises(ValueError, match="empty tuple"):
        logits_of(())


def test_a_list_of_an_array_alone_is_like_its_rows():
    assert like([]) is like(LOGITS) is like(3.0)
    assert type(like([torch_tensor()])(LOGITS)) is type(torch_tensor())


def test_numbers_in_lists():
    hidden = np.ma.array([1, 2], mask=[False, True])
    assert to_list((np.int8(1), [hidden, torch_tensor(np.array([3]))], "a", None)) == [
        1,
        [[1, None], [3]],
        "a",
        None,
    ]


GRAPHS: dict[str, tuple[Callable, Callable]] = {
    # What a graph is given, and what eager code is given in its place.
    "float8": (lambda tf: tf.cast(LOGITS, tf.dtypes.experimental.float8_e5m2), lambda: LOGITS),
    "bfloat16": (lambda tf: tf.constant(LOGITS, "bfloat16"), lambda: LOGITS),
    "list of rows": (lambda tf: tf.unstack(tf.constant(LOGITS)), lambda: LOGITS),
    "a row masked": (
        lambda tf: [tf.constant(LOGITS[0]), np.ma.array(LOGITS[1], mask=HIDDEN[1])],
        lambda: [LOGITS[0], MASKED[1]],
    ),
    "masked": (lambda tf: np.ma.array(LOGITS, mask=HIDDEN), lambda: MASKED),
    "big-endian": (lambda tf: LOGITS.astype(">f8"), lambda: LOGITS.astype(np.float64)),
    "torch": (lambda tf: torch_tensor().bfloat16().requires_grad_(), lambda: LOGITS),
    "dict": (lambda tf: {"logits": tf.constant(LOGITS)}, lambda: LOGITS),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_door_of_a_graph(name):
    tf = tensorflow()
    given, eager = GRAPHS[name]
    sampler = ls.Sampler(ls.TopK(3), ls.Temperature(0.5))
    ids, shares = tf.function(
        lambda: (sampler(given(tf), seed=[3, 4]), sampler.probabilities(given(tf)))
    )()
    np.testing.assert_array_equal(ids, sampler(eager(), seed=[3, 4]))
    np.testing.assert_allclose(shares, sampler.probabilities(eager()), rtol=1e-6)


def test_variables_in_a_graph_are_read_when_it_runs():
    tf, sampler = tensorflow(), ls.Sampler(ls.PresencePenalty(9.0))
    logits, history = tf.Variable(LOGITS), tf.Variable([[1, 2], [3, 1]])
    seed, step, length = tf.Variable([5, 6], dtype="int64"), tf.Variable(3), tf.Variable(1)
    run = tf.function(
        lambda: sampler(logits, seed=seed, step=step, history=history, prompt_length=length)
    )
    for number in range(3):
        wanted = sampler(
            LOGITS + number,
            seed=[5 + number, 6],
            step=3 + number,
            history=[[1, 2], [3, 1]],
            prompt_length=1 + (number > 1),
        )
        np.testing.assert_array_equal(run(), wanted)
        logits.assign_add(tf.ones_like(logits))
        seed.assign_add([1, 0])
        step.assign_add(1)
        length.assign(1 + (number > 0))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_ids_that_do_not_fit_32_bits_are_no_tokens_in_a_graph(jit_compile):
    tf, penalty = tensorflow(), ls.PresencePenalty(1.0, prompt=True)
    history = np.array([[2**40, 2**32 + 1, -(2**32) + 2], [3, 2**63 - 1, -(2**63)]])
    run = tf.function(
        lambda x, h: (penalty(x, history=h), ls.Sampler().log_prob(x, h[:, 0])),
        jit_compile=jit_compile,
    )
    lowered, log_prob = run(tf.constant(LOGITS), tf.constant(history))
    np.testing.assert_array_equal(lowered, LOGITS - [[0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(log_prob, [np.nan, ls.Sampler().log_prob(LOGITS[1], 3)], rtol=1e-6)
    state = penalty.update(penalty.init(np.array([[-1], [-1]]), 4), history[:, 0])
    np.testing.assert_array_equal(penalty.apply(LOGITS, state), lowered)


def test_a_ragged_history_in_a_graph():
    tf, ragged = tensorflow(), tensorflow().ragged.constant([[1, 2, 3], [2]])
    run = tf.function(lambda h: ls.Sampler(ls.TopK(2)).init(h, 4, seed=1).step)
    np.testing.assert_array_equal(run(ragged), [3, 1])
    constant = tf.function(lambda: ls.Sampler(ls.TopK(2)).init(ragged, 4, seed=1).step)
    np.testing.assert_array_equal(constant(), [3, 1])
    with pytest.raises(ValueError, match="the length of the history is unknown"):
        tf.function(lambda h: ls.RepetitionPenalty(2.0)(LOGITS, history=h))(ragged)


@pytest.mark.parametrize("name", ["TensorFlow sparse", "ragged", "slices", "symbolic Keras"])
def test_a_graph_refuses_the_same(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        tensorflow().function(lambda: ls.TopK(2)(make()))()


def test_what_is_symbolic():
    tf = tensorflow()
    seen = {}

    @tf.function
    def look(x, ragged):
        seen["graph"] = [x, [x, x], ragged, variable]
        return x

    variable, ragged = tf.Variable(1.0), tf.ragged.constant([[1], [1, 2]])
    concrete = [LOGITS, 1, 1.5, None, [1], [[1], [2]], [], "a", torch_tensor(), jax_array()]
    assert not any(map(is_symbolic, [*concrete, variable, ragged, tf.constant(1.0)]))
    look(tf.constant(1.0), ragged)
    assert [is_symbolic(x) for x in seen["graph"]] == [True, True, True, False]
    assert in_graph(1, seen["graph"][0]) and not in_graph(1, LOGITS)


DEVICES = """
import sys
import numpy as np, logit_sampling as ls
x = np.array([[5.0, 1.0, 2.0], [0.5, 3.0, 2.5]], np.float32)
sampler = ls.Sampler(ls.TopK(2))
if sys.argv[1] == "tensorflow":
    import tensorflow as tf
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    def placed(place):
        with tf.device(f"CPU:{place}"):
            return tf.constant(x)
    device = lambda array: array.device
else:
    import jax
    assert len(jax.devices()) == 2
    def placed(place):
        if place:
            return jax.device_put(x, jax.devices()[place])
        with jax.default_device(jax.devices()[1]):
            return jax.numpy.asarray(x)
    device = lambda array: (*array.devices(), array.committed)
for place in (1, 0, 1):
    given = placed(place)
    state = sampler.init([[0], [1]], 3, seed=1)
    made = [sampler(given, seed=0), sampler.probabilities(given), ls.TopK(2)(given)]
    made += [sampler.log_prob(given, [0, 1]), sampler.step(given, state)[0]]
    made += [sampler([given[0], given[1]])] if getattr(given, "committed", False) else []
    assert {device(array) for array in made} == {device(given)}, (given, made)
print("same device")
"""


@pytest.mark.parametrize("library", ["tensorflow", "jax"])
def test_results_are_on_the_device_of_the_logits(library):
    pytest.importorskip(library)
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(
        [sys.executable, "-c", DEVICES, library],
        env=os.environ | flags,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "same device\n", run.stderr


def test_results_are_on_the_device_of_a_torch_tensor():
    torch = pytest.importorskip("torch")

    class Elsewhere(torch.Tensor):
        """As if on another device; what it makes is there too."""

        @property
        def device(self):
            return torch.device("cuda:0")

    x = torch_tensor().as_subclass(Elsewhere)
    for made in calls(x).values():
        assert made.device == torch.device("cuda:0")


@pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('torch') "
    "or not __import__('torch').cuda.is_available()",
    reason="no CUDA device",
)
def test_results_are_on_the_gpu():
    x = torch_tensor().cuda()
    for made in calls(x).values():
        assert made.device == x.device


MODELS = {
    "torch object": lambda x: types.SimpleNamespace(
        logits=torch_tensor(x).bfloat16().requires_grad_()
    ),
    "TensorFlow dict": lambda x: {"logits": tensorflow().constant(x), "past": None},
    "JAX tuple of three": lambda x: (pytest.importorskip("jax").numpy.asarray(x), "cache", None),
    "big-endian": lambda x: x.astype(">f8"),
    "lists": lambda x: x.tolist(),
    "masked": lambda x: np.ma.array(np.where(x == 0, 9, x), mask=x == 0),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_and_scores_read_the_same(name):
    table = np.array([[0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1], [1, 2, 3, 0]], np.float32)
    if name == "masked":
        table[table == 0] = -np.inf
    plain = lambda ids: table[ids]  # noqa: E731
    given = lambda ids: MODELS[name](np.where(np.isinf(table), 0, table)[ids])  # noqa: E731
    options = {"max_new_tokens": 5, "seed": 3}
    wanted = ls.generate(plain, [[0], [1, 2]], **options)
    made = ls.generate(given, [[0], [1, 2]], **options)
    assert made.token_ids == wanted.token_ids
    np.testing.assert_allclose(made.log_probs, wanted.log_probs, rtol=1e-6)
    scores = [ls.score(model, [[0, 3, 2], [1, 3, 1]]).log_probs for model in (given, plain)]
    for own, expected in zip(*scores, strict=True):
        np.testing.assert_allclose(own[1:], expected[1:], rtol=1e-6)


def test_a_loop_of_transformers_gets_its_kind_back():
    made = ls.Sampler(ls.TopK(2)).for_transformers()(
        torch_tensor(np.array([[0], [1]])), subclass(torch_tensor().bfloat16())
    )
    np.testing.assert_array_equal(made, ls.TopK(2)(LOGITS))
    assert isinstance(made, type(torch_tensor()))
