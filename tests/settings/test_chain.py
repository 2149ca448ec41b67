"""What parameters become: the chain of each system, values that mean off, and refusals."""

import re

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling import settings
from logit_sampling.settings import BY_SWITCH, PARAMETERS, SETTINGS, SYSTEMS
from logit_sampling.settings.names import NAMES

T, K, P, M = ls.Temperature(0.8), ls.TopK(40), ls.TopP(0.9), ls.MinP(0.05)
FOUR = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.05}


def chain(**params):
    return list(ls.Sampler.from_params(**params).transforms)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (FOUR, [T, K, P, M]),
        ({"order": "hf", **FOUR}, [T, K, P, M]),
        ({"order": "vllm", **FOUR}, [T, M, K, P]),
        ({"order": "llama.cpp", **FOUR}, [K, P, M, T]),
        ({"order": "keras_hub", "temperature": 0.8, "top_k": 40, "top_p": 0.9}, [T, P, K]),
        ({"order": "llama.cpp", "defaults": True}, [K, ls.TopP(0.95), M, T]),
        ({"order": "llama.cpp", "defaults": True, "top_p": 1, "temp": 1, "min_p": 0}, [K]),
        ({"order": "hf", "defaults": True}, [ls.Temperature(0)]),
        ({"order": "hf", "defaults": True, "do_sample": True}, [ls.TopK(50)]),
        ({"order": "vllm", "defaults": True}, []),
        (
            {"order": "hf", "eta_cutoff": 0.1, "epsilon_cutoff": 0.2, "typical_p": 0.3, "top_h": 1},
            [
                ls.TopH(1, renormalize=False, first=100),
                ls.Typical(0.3),
                ls.Epsilon(0.2),
                ls.Eta(0.1),
            ],
        ),
        (
            {
                "order": "llama.cpp",
                "xtc_probability": 0.5,
                "typ_p": 0.3,
                "top_n_sigma": 2,
                "top_k": 40,
                "temp": 0.8,
                "dynatemp_range": 0.3,
                "adaptive_target": 0.4,
            },
            [
                ls.TopNSigma(2),
                K,
                ls.Typical(0.3),
                ls.XTC(0.5, 0.1),
                ls.DynamicTemperature(0.8, 0.3),
                ls.AdaptiveP(0.4),
            ],
        ),
        (
            {"order": "llama.cpp", "defaults": True, "mirostat": 1, "mirostat_lr": 0.3},
            [T, ls.Mirostat(5, 0.3, version=1, after_cut=True)],
        ),
        (
            {"mirostat": 2, "mirostat_tau": 3, "top_k": 40, "top_a": 0.2, "p_less": True},
            [K, ls.TopA(0.2), ls.PLess(), ls.Mirostat(3, 0.1)],
        ),
        ({"dynatemp_range": 0.5, "dynatemp_exponent": 2}, [ls.DynamicTemperature(1, 0.5, 2)]),
        ({"temp": 1, "dynatemp_range": 0.5}, [ls.DynamicTemperature(1, 0.5)]),
        ({"xtc_probability": 1, "xtc_special_tokens": [3]}, [ls.XTC(1, 0.1, protected=(3,))]),
        ({"do_sample": False}, [ls.Temperature(0)]),
        ({"do_sample": True, "temperature": 0.8}, [T]),
        # Both act before the greedy choice, and top-k before either.
        (
            {"order": "llama.cpp", "temp": -1, "top_k": 40, "xtc_probability": 1},
            [K, ls.XTC(1, 0.1), ls.Temperature(0)],
        ),
        ({"order": "vllm", "temperature": 0.001}, [ls.Temperature(0.01)]),
        ({"order": "vllm", "temperature": [0.001, 0, 2]}, [ls.Temperature([0.01, 0, 2])]),
    ],
    ids=str,
)
def test_the_chain(params, expected):
    assert chain(**params) == expected


@pytest.mark.parametrize(
    ("order", "params"),
    [
        ("default", {"top_k": 0, "top_p": 1.0, "min_p": 0, "temperature": 1, "top_a": 0}),
        ("default", {"typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0.0, "top_n_sigma": 0}),
        ("default", {"top_h": 1, "xtc_probability": 0, "mirostat": 0, "adaptive_target": -1.0}),
        ("default", {"dynatemp_range": 0, "p_less": False, "do_sample": None, "top_k": None}),
        ("default", {"temperature": [1, 1], "top_k": np.array([0, 0])}),
        ("default", {"temperature": np.float32(1), "top_k": np.int64(0)}),
        ("hf", {"top_k": 0, "top_p": 1.5, "typical_p": 1.0, "epsilon_cutoff": -1, "min_p": 0}),
        ("vllm", {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "temperature": 1.0}),
        ("llama.cpp", {"top_k": -1, "top_p": 1.5, "min_p": -0.1, "typ_p": 2, "top_n_sigma": -1}),
        ("llama.cpp", {"xtc_probability": -1, "dynatemp_range": -1, "adaptive_target": -1}),
        ("llama.cpp", {"xtc_probability": 0.5, "xtc_threshold": 1.0}),
        ("llama.cpp", {"xtc_probability": [0.5, 0, 1], "xtc_threshold": [0.6, 0.1, 1]}),
        ("llama.cpp", {"top_k": [0, -1], "top_p": [1, 2.0], "min_p": [0, -1], "typ_p": [1, 3]}),
        ("llama.cpp", {"top_n_sigma": [0, -1], "dynatemp_range": [-1, 0], "mirostat": 0}),
        ("llama.cpp", {"adaptive_target": [-1, -0.5], "xtc_threshold": 0.6}),
        ("vllm", {"top_k": [0, -1], "top_p": [1, 1], "min_p": [0, 0], "temperature": [1, 1]}),
        ("hf", {"epsilon_cutoff": [0, 1.5], "eta_cutoff": [-1, 1], "top_p": [1, 1.5]}),
    ],
    ids=str,
)
def test_off(order, params):
    assert chain(order=order, **params) == []


@pytest.mark.parametrize(
    ("order", "params", "expected"),
    [
        ("llama.cpp", {"top_k": [-1, 5]}, ls.TopK([2**31 - 1, 5])),
        ("llama.cpp", {"top_p": [1.5, 0.5]}, ls.TopP([1, 0.5])),
        ("llama.cpp", {"min_p": [-0.1, 0.5]}, ls.MinP([0, 0.5])),
        ("llama.cpp", {"typical": [2, 0.5]}, ls.Typical([1, 0.5])),
        ("llama.cpp", {"top_n_sigma": [-1, 1.5]}, ls.TopNSigma([1e38, 1.5])),
        ("llama.cpp", {"temp": [-1, 1, 0.5]}, ls.Temperature([0, 1, 0.5])),
        (
            "llama.cpp",
            {"dynatemp_range": [-1, 0.5], "temp": [1, 0.5]},
            ls.DynamicTemperature([1, 0.5], [0, 0.5]),
        ),
        (
            "llama.cpp",
            {"xtc_probability": [-1, 0.5, 1], "xtc_threshold": [0.1, 0.2, 0.6]},
            ls.XTC([0, 0.5, 0], [0.1, 0.2, 0.5]),
        ),
        (
            "llama.cpp",
            {"xtc_probability": 0.5, "xtc_threshold": (0.6, 0.2)},
            ls.XTC([0, 0.5], [0.5, 0.2]),
        ),
        ("llama.cpp", {"adaptive_target": [0.2, 0.5]}, ls.AdaptiveP([0.2, 0.5])),
        ("vllm", {"top_k": np.array([-1, 0, 5])}, ls.TopK([2**31 - 1, 2**31 - 1, 5])),
        ("vllm", {"min_p": [0, 0.5]}, ls.MinP([0, 0.5])),
        ("hf", {"epsilon_cutoff": [1, 0.2, -1]}, ls.Epsilon([0, 0.2, 0])),
        ("hf", {"eta_cutoff": [0, 0.2]}, ls.Eta([0, 0.2])),
    ],
    ids=str,
)
def test_off_in_some_rows_becomes_what_does_nothing(order, params, expected):
    assert chain(order=order, **params) == [expected]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"adaptive_target": [-1, 0.5]},
            r"`adaptive_target` of \[-1, 0.5\] is off in some rows and",
        ),
        ({"mirostat": [0, 2]}, r"`mirostat` of \[0, 2\] is off in some rows .* a sampler of their"),
        ({"p_less": [True, False]}, "`p_less` of .* is off in some rows"),
        ({"do_sample": [True, False]}, "`do_sample` of .* is off in some rows"),
        (
            {"xtc_probability": [0.5, 0.5], "xtc_threshold": [0.6, 0.1, 0.1]},
            "values for 3 rows, but `xtc_probability` has 2",
        ),
    ],
    ids=str,
)
def test_off_in_some_rows_only_is_refused_where_nothing_stands_for_it(params, message):
    with pytest.raises(ValueError, match=message):
        chain(**params)


def test_off_in_some_rows_only():
    logits = np.log(np.array([[0.5, 0.3, 0.15, 0.05]] * 2, np.float32))
    plain = ls.Sampler().probabilities(logits[0])
    for name, value in {
        "temperature": 2,
        "top_k": 2,
        "top_p": 0.6,
        "min_p": 0.5,
        "typical_p": 0.4,
        "epsilon_cutoff": 0.2,
        "eta_cutoff": 0.5,
        "top_a": 0.9,
        "top_n_sigma": 0.7,
        "top_h": 0.6,
        "xtc_probability": 1,
        "dynatemp_range": 0.5,
    }.items():
        off = PARAMETERS[name].off.number
        both = ls.Sampler.from_params(**{name: [off, value]}).probabilities(logits)
        alone = ls.Sampler.from_params(**{name: value}).probabilities(logits[1])
        np.testing.assert_array_equal(both, [plain, alone], err_msg=name)
        assert (plain != alone).any(), name


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"topk": 5}, "unknown parameter `topk`; did you mean `top_k`?"),
        ({"temprature": 5}, "did you mean `temperature`?"),
        ({"zzz": 5}, "unknown parameter `zzz`; known: .*adaptive_decay, "),
        ({"seed": 5}, "`seed` is no parameter of a sampler: give it to the call"),
        ({"num_beams": 5}, "beams are no sampling"),
        (
            {"order": "vllm", "typical_p": 0.5},
            "unknown to order='vllm', known only to 'default', 'hf'",
        ),
        ({"order": "hf", "mirostat": 2}, "`mirostat` is unknown to order='hf'"),
        ({"order": "keras_hub", "min_p": 0.1}, "unknown to order='keras_hub'"),
        ({"order": "mlx"}, "`order` is one of 'default', 'hf', .*; got 'mlx'$"),
        ({"order": "llama_cpp"}, "got 'llama_cpp'; did you mean 'llama.cpp'"),
        (
            {"order": "OpenAI"},
            "got 'OpenAI'; OpenAI publishes none; the default order knows its na",
        ),
        (
            {"order": ["top_k", "temperature"]},
            r"for one of your own write the chain .* ls.Sampler\(",
        ),
        ({"order": None}, "got None; for one of your own"),
        ({"order": "vllm", "top_k": -2}, "no `top_k` of -2; to keep all tokens pass 0 or -1"),
        ({"temp": 1, "temperature": 1}, "`temp` and `temperature` are one parameter"),
        ({"xtc_threshold": 0.1}, "`xtc_threshold` has no effect without `xtc_probability`"),
        ({"xtc_threshold": 0.1, "xtc_probability": 0}, "has no effect without `xtc_probability`"),
        ({"mirostat_lr": 0.1}, "`mirostat_lr` has no effect without `mirostat`"),
        ({"adaptive_decay": 0.1}, "without `adaptive_target`"),
        ({"dynatemp_exponent": 2}, "without `dynatemp_range`"),
        ({"temperature": 0, "top_p": 0.9}, "`top_p` has no effect because temperature=0 takes the"),
        ({"temp": [0, 0], "top_k": 5}, "`top_k` has no effect because temperature=0"),
        ({"temperature": 0, "mirostat": 2, "mirostat_tau": 3}, "`mirostat` has no effect because"),
        ({"order": "llama.cpp", "temp": 0, "top_k": 5}, "`top_k` has no effect because"),
        ({"do_sample": False, "temp": 0.5}, "`temp` has no effect because of do_sample=False"),
        ({"order": "hf", "do_sample": False, "top_k": 5}, "because of do_sample=False"),
        ({"order": "llama.cpp", "mirostat": 2, "top_k": 5}, "no effect because of mirostat=2"),
        ({"order": "llama.cpp", "mirostat": 2, "dynatemp_range": 1}, "because of mirostat=2"),
        ({"mirostat": 2, "adaptive_target": 0.5}, "`adaptive_target` has no effect because of"),
        ({"order": "hf", "temperature": 0.0}, "order='hf' has no `temperature` of 0.0; for the"),
        ({"order": "vllm", "temperature": 2.5}, "no `temperature` of 2.5; pass a temperature in"),
        ({"order": "keras_hub", "temp": [1, 0]}, "no `temperature` of 0; .* use ls.Greedy()"),
        ({"do_sample": 0}, "`do_sample` is True or False, got 0"),
        ({"top_k": False}, "TopK needs `k` .* got False"),
        ({"temperature": "hot"}, "Temperature needs .* got 'hot'"),
        ({"top_p": 2}, r"TopP needs `p` to be a finite number in \(0, 1\]; got 2"),
        ({"order": "hf", "top_p": 0}, r"in \(0, 1\]; got 0"),
        ({"mirostat": 3}, "Mirostat needs `version` to be one of .*; got 3"),
        ({"temperature": []}, "Temperature needs"),
    ],
    ids=str,
)
def test_refusals(params, message):
    with pytest.raises(ValueError, match=message):
        ls.Sampler.from_params(**params)


def test_settings_given_to_the_class_are_sent_to_from_params():
    with pytest.raises(
        ValueError, match=r"got temperature, top_k by name; .*Sampler.from_params\("
    ):
        ls.Sampler(temperature=0.7, top_k=3)
    with pytest.raises(ValueError, match="got top_p by name"):
        ls.Greedy(top_p=0.5)


def test_the_default_order_stays():
    """Texts depend on it; a new strategy finds its place between others."""
    chain = "guidance_scale sequence_bias logit_bias repetition_penalty frequency_penalty"
    chain += " presence_penalty no_repeat_ngram_size dry_multiplier bad_words_ids min_length"
    chain += " min_new_tokens exponential_decay_length_penalty allowed_token_ids suppress_tokens"
    chain += " begin_suppress_tokens forced_bos_token_id forced_eos_token_id watermarking_config"
    chain += " dynatemp_range temperature top_h top_n_sigma top_k top_p min_p typical_p"
    chain += " epsilon_cutoff eta_cutoff top_a p_less xtc_probability mirostat adaptive_target"
    known = [*chain.split(), "do_sample"]
    assert [name for name in SYSTEMS["default"].chain if name in known] == known


def test_the_table_is_whole():
    assert set(SYSTEMS["default"].chain) == {s.switch.name for s in SETTINGS}
    assert len(BY_SWITCH) == len(SETTINGS)
    assert 'help("logit_sampling.settings")' in ls.Sampler.from_params.__doc__
    for name in NAMES:
        assert re.search(rf"\b{name}\b", settings.__doc__), name
    for name, system in SYSTEMS.items():
        assert len(set(system.chain)) == len(system.chain) and set(system.chain) <= set(BY_SWITCH)
        for table in (system.off, system.reads, system.lacks, system.defaults):
            assert set(table) <= set(PARAMETERS), name
        assert {r.parameter for r in system.refuses} <= set(PARAMETERS)
        assert set(system.presets) | set(system.replaces) <= set(system.chain)


@pytest.mark.parametrize(
    ("order", "settings"),
    [
        ("default", {"temperature": (1.0, 0.5), "top_k": (0, 3), "top_p": (0.5, 1.0)}),
        ("default", {"min_p": (0.0, 0.25), "typical_p": (1.0, 0.5), "top_n_sigma": (0.0, 1.0)}),
        ("default", {"xtc_probability": (0.0, 1.0), "dynatemp_range": (0.5, 0.0)}),
        ("hf", {"temperature": (0.5, 2.0), "epsilon_cutoff": (0.0, 0.125), "top_p": (0.5, 1.5)}),
        ("vllm", {"top_k": (-1, 3), "min_p": (0.0, 0.25), "presence_penalty": (1.5, 0.0)}),
        ("llama.cpp", {"top_k": (-5, 3), "min_p": (-1.0, 0.25), "repeat_penalty": (1.0, 2.0)}),
    ],
)
def test_tensors_of_a_graph(order, settings):
    tf = pytest.importorskip("tensorflow")
    x, history = np.array([[1.5, 0.5, 0.0, -2.0, 1.0]], np.float32), np.array([[0, 1, 1]], np.int32)

    def shares(settings):
        sampler = ls.Sampler.from_params(order=order, **settings)
        return sampler.probabilities(x, history=history, seed=1)

    compiled = tf.function(shares)
    for values in zip(*settings.values(), strict=True):
        given = dict(zip(settings, values, strict=True))
        found = compiled({name: tf.constant(value) for name, value in given.items()})
        np.testing.assert_allclose(found, shares(given), rtol=1e-5)
    assert compiled.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("order", "settings"),
    [
        ("hf", {"temperature": 0.0}),
        ("vllm", {"top_k": -2}),
        ("vllm", {"frequency_penalty": 2.5}),
        ("keras_hub", {"temperature": -1.0}),
    ],
)
def test_a_tensor_that_a_system_rejects_gives_no_token(order, settings):
    tf = pytest.importorskip("tensorflow")
    x = np.zeros((2, 5), np.float32)
    compiled = tf.function(lambda given: ls.Sampler.from_params(order=order, **given)(x, seed=1))
    (name,) = settings
    assert compiled({name: tf.constant(settings[name])}).numpy().tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("order", "name", "value"),
    [
        ("vllm", "temperature", 0.5),
        ("llama.cpp", "temperature", 0.5),
        ("default", "adaptive_target", 0.5),
        ("default", "do_sample", True),
        ("default", "mirostat", 2),
        ("default", "repeat_last_n", 2),
        ("default", "xtc_threshold", 0.25),
        ("default", "eos_token_id", 3),
        ("default", "suppress_tokens", [3]),
    ],
)
def test_a_tensor_on_which_the_chain_depends(order, name, value):
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match=f"needs `{name}` in numbers .* ls.Sampler"):
        tf.function(lambda t: ls.Sampler.from_params(order=order, **{name: t}))(tf.constant(value))
