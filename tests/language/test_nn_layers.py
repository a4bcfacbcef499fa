"""Every layer of `ppl.nn` beyond the first: its numbers are those of torch.nn and equinox with the same weights.

All layers stand in one program, because JAX compiles a program with thirty layers in the time of a few small ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import ppl
from ppl import dist, nn, ops
from ppl.backend import torch_layers
from ppl.errors import ModelError, ShapeError, UnsupportedByBackend
from ppl.inference import SVI, AutoNormal
from ppl.program.flows import STEPS
from ppl.program.layers import ACTIVATIONS, KINDS, Layer, inner_layers
from ppl.program.program import Program
from ppl.transforms.density import log_density

NUMBERS = np.random.default_rng(7)
BACKENDS = ("numpyro", "pyro")
ROWS = 3
DATA = {
    name: NUMBERS.normal(size=(ROWS, *shape))
    for name, shape in {
        "vector": (4,),
        "state": (6,),
        "memory": (6,),
        "sequence": (5, 4),
        "longer": (7, 4),
        "line": (2, 9),
        "picture": (4, 6, 6),
        "volume": (2, 4, 5, 4),
        "edges": (5, 5),
    }.items()
}

Weights = Mapping[str, np.ndarray]
Make = Callable[[str, Any], Any]
Reference = Callable[[Weights, list[np.ndarray]], Any]


@dataclass(frozen=True)
class Case:
    """One layer.

    Attributes:
        make: the network, from its name and a prior for its weights.
        inputs: names of the data that it is called with.
        torch: the result for all rows, from weights by name and inputs; None where torch has no such layer.
        jax: the result for one row in equinox; None where it has no such layer.
    """

    make: Make
    inputs: tuple[str, ...]
    torch: Reference | None = None
    jax: Reference | None = None


def tensors(arrays: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.tensor(a) for a in arrays]


def torch_layer(make: Callable[[], torch.nn.Module], call: Callable[..., Any] = lambda m, *xs: m(*xs)) -> Reference:
    """A layer of torch.nn, its weights set by name."""

    def run(weights: Weights, inputs: list[np.ndarray]) -> Any:
        layer = make().double()
        layer.load_state_dict({n: torch.tensor(w) for n, w in weights.items()})
        with torch.no_grad():
            return call(layer, *tensors(inputs)).numpy()

    return run


def equinox_layer(make: Callable[[Any], Any], rename: Callable[[Weights], Weights], call: Any = None) -> Reference:
    """A layer of equinox, its arrays replaced; `rename` gives them under the layer's own names."""

    def run(weights: Weights, inputs: list[np.ndarray]) -> Any:
        layer = make(jax.random.key(0))
        for path, array in rename(weights).items():

            def at(m: Any, path: str = path) -> Any:
                for part in path.split("."):
                    m = getattr(m, part)
                return m

            assert at(layer).shape == array.shape
            layer = eqx.tree_at(at, layer, jnp.asarray(array))
        rows = [call(layer, *xs) if call else layer(*xs) for xs in zip(*map(jnp.asarray, inputs), strict=True)]
        return np.stack([np.asarray(r) for r in rows])

    return run


def same(weights: Weights) -> Weights:
    return weights


def conv_bias(weights: Weights) -> Weights:
    rank = weights["weight"].ndim - 2
    return {"weight": weights["weight"], "bias": weights["bias"].reshape(-1, *(1,) * rank)}


def gru_biases(weights: Weights) -> Weights:
    # The reset gate acts on the second bias of the new state, so equinox keeps that part apart.
    first, second = weights["bias_ih"], weights["bias_hh"]
    hidden = second.size // 3
    bias = first + np.concatenate([second[: 2 * hidden], np.zeros(hidden)])
    return {
        "weight_ih": weights["weight_ih"],
        "weight_hh": weights["weight_hh"],
        "bias": bias,
        "bias_n": second[-hidden:],
    }


def lstm_biases(weights: Weights) -> Weights:
    return {
        "weight_ih": weights["weight_ih"],
        "weight_hh": weights["weight_hh"],
        "bias": weights["bias_ih"] + weights["bias_hh"],
    }


def over_time(biases: Callable[[Weights], Weights]) -> Callable[[Weights], Weights]:
    return lambda weights: biases({n.removesuffix("_l0"): w for n, w in weights.items()})


def run_gru(cell: Any, xs: Any) -> Any:
    return jax.lax.scan(lambda h, x: (cell(x, h),) * 2, jnp.zeros(6), xs)[1]


def run_lstm(cell: Any, xs: Any) -> Any:
    def step(state: Any, x: Any) -> Any:
        new = cell(x, state)
        return new, new[0]

    return jax.lax.scan(step, (jnp.zeros(6), jnp.zeros(6)), xs)[1]


def projections(weights: Weights) -> Weights:
    q, k, v = np.split(weights["in_proj_weight"], 3)
    bq, bk, bv = np.split(weights["in_proj_bias"], 3)
    out = {"query_proj": (q, bq), "key_proj": (k, bk), "value_proj": (v, bv)}
    named = {f"{n}.{part}": a for n, pair in out.items() for part, a in zip(("weight", "bias"), pair, strict=True)}
    return named | {"output_proj.weight": weights["out_proj.weight"], "output_proj.bias": weights["out_proj.bias"]}


def attention_in_equinox(key: Any) -> Any:
    biases = {f"use_{n}_bias": True for n in ("query", "key", "value", "output")}
    return eqx.nn.MultiheadAttention(2, 4, **biases, key=key)  # type: ignore[arg-type]


def ahead(n: int) -> torch.Tensor:
    return torch.triu(torch.ones(n, n, dtype=torch.bool), 1)


def stacked_cell(cell: Any, x: Any, h: Any, c: Any) -> Any:
    return torch.stack(cell(x, (h, c)), -2)


def graph(weights: Weights, inputs: list[np.ndarray]) -> Any:
    nodes, edges = inputs
    return edges @ (nodes @ weights["weight"].T) + weights["bias"]


def deep_sets(weights: Weights, inputs: list[np.ndarray]) -> Any:
    (x,) = inputs
    rows = np.tanh(np.tanh(x @ weights["0.weight"].T + weights["0.bias"]) @ weights["2.weight"].T + weights["2.bias"])
    return rows.mean(-2) @ weights["5.weight"].T + weights["5.bias"]


def pooled_by_seeds(weights: Weights, inputs: list[np.ndarray]) -> Any:
    layer = torch.nn.MultiheadAttention(4, 2, batch_first=True).double()
    layer.load_state_dict({n: torch.tensor(w) for n, w in weights.items() if n != "seed"})
    (x,) = tensors(inputs)
    seeds = torch.tensor(weights["seed"]).expand(ROWS, -1, -1)
    with torch.no_grad():
        return layer(seeds, x, x, need_weights=False)[0].numpy()


def monotone(weights: Weights, inputs: list[np.ndarray]) -> Any:
    (x,) = inputs
    positive = {n: np.logaddexp(w, 0.0) / w.shape[1] for n, w in weights.items() if n.endswith("weight")}
    return np.tanh(x @ positive["0.weight"].T + weights["0.bias"]) @ positive["2.weight"].T + weights["2.bias"]


def block(name: str, prior: Any) -> Any:
    inner = [nn.Linear(f"{name}_a", 4, 8), "tanh", nn.MLP(f"{name}_b", [8, 5, 4], "relu")]
    return nn.Residual(name, inner, prior=prior)


def residual(weights: Weights, inputs: list[np.ndarray]) -> Any:
    (x,) = inputs
    first, second, third = (sorted(n for n in weights if part in n) for part in ("_a.", "_b_0.", "_b_2."))
    hidden = np.tanh(x @ weights[first[1]].T + weights[first[0]])
    hidden = np.maximum(hidden @ weights[second[1]].T + weights[second[0]], 0.0)
    return x + hidden @ weights[third[1]].T + weights[third[0]]


def pooling(name: str, prior: Any) -> Any:
    parts = [nn.MaxPool([2, 2]), nn.AvgPool([2, 3], stride=[1, 1], padding=[1, 1]), nn.Pool("max", (-2, -1))]
    return nn.Sequential(name, [*parts, nn.Linear(f"{name}_l", 4, 2)], prior=prior)


def pooled(weights: Weights, inputs: list[np.ndarray]) -> Any:
    (x,) = tensors(inputs)
    out = torch.nn.AvgPool2d((2, 3), (1, 1), (1, 1))(torch.nn.MaxPool2d(2)(x)).amax((-2, -1)).numpy()
    (weight,) = (w for n, w in weights.items() if n.endswith("weight"))
    (bias,) = (w for n, w in weights.items() if n.endswith("bias"))
    return out @ weight.T + bias


def blocks(name: str, prior: Any) -> Any:
    inner = nn.Residual(f"{name}_inner", [nn.Linear(f"{name}_b", 4, 4, bias=False)])
    outer = nn.Residual(f"{name}_outer", ["tanh", inner])
    return nn.Sequential(name, [outer, nn.Linear(f"{name}_c", 4, 2, bias=False)], prior=prior)


def in_blocks(weights: Weights, inputs: list[np.ndarray]) -> Any:
    (x,) = inputs
    assert list(weights) == ["nested_outer.nested_inner.nested_b.weight", "nested_c.weight"]
    inner, last = weights.values()
    hidden = np.tanh(x)
    return (x + hidden + hidden @ inner.T) @ last.T


def placed(name: str, prior: Any) -> Any:
    return nn.Sequential(name, [nn.Positions(), nn.Linear(f"{name}_l", 4, 2)], prior=prior)


def at_places(weights: Weights, inputs: list[np.ndarray]) -> Any:
    time = np.arange(5.0)
    waves = np.stack([np.sin(time), np.cos(time), np.sin(time / 100.0), np.cos(time / 100.0)], -1)
    (weight,) = (w for n, w in weights.items() if n.endswith("weight"))
    (bias,) = (w for n, w in weights.items() if n.endswith("bias"))
    return (inputs[0] + waves) @ weight.T + bias


def rnn_both_ways(layer: Any, x: Any) -> Any:
    return layer(x)[0]


def from_states(layer: Any, x: Any, *states: Any) -> Any:
    first: Any = [s[None] for s in states]
    return layer(x, tuple(first) if len(first) > 1 else first[0])[0]


def backward(weights: Weights, inputs: list[np.ndarray]) -> Any:
    layer = torch_layer(lambda: torch.nn.GRU(4, 6, batch_first=True), rnn_both_ways)
    return np.flip(layer(weights, [np.flip(inputs[0], 1).copy()]), 1)


def both(kind: Any) -> Callable[[], torch.nn.Module]:
    return lambda: kind(4, 6, batch_first=True, bidirectional=True)


CASES: dict[str, Case] = {
    "rnn_cell": Case(
        lambda n, p: nn.RNNCell(n, 4, 6, prior=p), ("vector", "state"), torch_layer(lambda: torch.nn.RNNCell(4, 6))
    ),
    "gru_cell": Case(
        lambda n, p: nn.GRUCell(n, 4, 6, prior=p),
        ("vector", "state"),
        torch_layer(lambda: torch.nn.GRUCell(4, 6)),
        equinox_layer(lambda key: eqx.nn.GRUCell(4, 6, key=key), gru_biases),
    ),
    "lstm_cell": Case(
        lambda n, p: nn.LSTMCell(n, 4, 6, prior=p),
        ("vector", "state", "memory"),
        torch_layer(lambda: torch.nn.LSTMCell(4, 6), stacked_cell),
        equinox_layer(
            lambda key: eqx.nn.LSTMCell(4, 6, key=key), lstm_biases, lambda m, x, h, c: jnp.stack(m(x, (h, c)))
        ),
    ),
    "rnn": Case(
        lambda n, p: nn.RNN(n, 4, 6, prior=p),
        ("sequence",),
        torch_layer(lambda: torch.nn.RNN(4, 6, batch_first=True), rnn_both_ways),
    ),
    "gru": Case(
        lambda n, p: nn.GRU(n, 4, 6, prior=p),
        ("sequence",),
        torch_layer(lambda: torch.nn.GRU(4, 6, batch_first=True), rnn_both_ways),
        equinox_layer(lambda key: eqx.nn.GRUCell(4, 6, key=key), over_time(gru_biases), run_gru),
    ),
    "gru_from_a_state": Case(
        lambda n, p: nn.GRU(n, 4, 6, prior=p),
        ("sequence", "state"),
        torch_layer(lambda: torch.nn.GRU(4, 6, batch_first=True), from_states),
    ),
    "gru_backward": Case(lambda n, p: nn.GRU(n, 4, 6, direction="backward", prior=p), ("sequence",), backward),
    "rnn_both_ways": Case(
        lambda n, p: nn.RNN(n, 4, 6, direction="both", prior=p),
        ("sequence",),
        torch_layer(both(torch.nn.RNN), rnn_both_ways),
    ),
    "lstm": Case(
        lambda n, p: nn.LSTM(n, 4, 6, prior=p),
        ("sequence",),
        torch_layer(lambda: torch.nn.LSTM(4, 6, batch_first=True), rnn_both_ways),
        equinox_layer(lambda key: eqx.nn.LSTMCell(4, 6, key=key), over_time(lstm_biases), run_lstm),
    ),
    "lstm_both_ways": Case(
        lambda n, p: nn.LSTM(n, 4, 6, direction="both", prior=p),
        ("sequence",),
        torch_layer(both(torch.nn.LSTM), rnn_both_ways),
    ),
    "attention": Case(
        lambda n, p: nn.Attention(n, 4, 2, prior=p),
        ("sequence",),
        torch_layer(lambda: torch.nn.MultiheadAttention(4, 2, batch_first=True), lambda m, x: m(x, x, x)[0]),
        equinox_layer(attention_in_equinox, projections, lambda m, x: m(x, x, x)),
    ),
    "attention_to_another": Case(
        lambda n, p: nn.Attention(n, 4, 2, prior=p),
        ("sequence", "longer"),
        torch_layer(lambda: torch.nn.MultiheadAttention(4, 2, batch_first=True), lambda m, x, y: m(x, y, y)[0]),
        equinox_layer(attention_in_equinox, projections, lambda m, x, y: m(x, y, y)),
    ),
    "causal_attention": Case(
        lambda n, p: nn.Attention(n, 4, 2, causal=True, prior=p),
        ("sequence",),
        torch_layer(
            lambda: torch.nn.MultiheadAttention(4, 2, batch_first=True),
            lambda m, x: m(x, x, x, attn_mask=ahead(5))[0],
        ),
        equinox_layer(
            attention_in_equinox, projections, lambda m, x: m(x, x, x, mask=jnp.tril(jnp.ones((5, 5), bool)))
        ),
    ),
    "transformer": Case(
        lambda n, p: nn.TransformerBlock(n, 4, 2, 8, causal=True, prior=p),
        ("sequence",),
        torch_layer(
            lambda: torch.nn.TransformerEncoderLayer(
                4, 2, 8, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            ),
            lambda m, x: m(x, src_mask=ahead(5)),
        ),
    ),
    "attention_pool": Case(lambda n, p: nn.AttentionPool(n, 4, 2, seeds=3, prior=p), ("sequence",), pooled_by_seeds),
    "graph_conv": Case(lambda n, p: nn.GraphConv(n, 4, 3, prior=p), ("sequence", "edges"), graph),
    "deep_sets": Case(
        lambda n, p: nn.DeepSets(n, [4, 5, 3], [3, 2], "tanh", pool="mean", prior=p), ("sequence",), deep_sets
    ),
    "conv1d": Case(
        lambda n, p: nn.Conv1d(n, 2, 4, 3, stride=2, padding=1, groups=2, prior=p),
        ("line",),
        torch_layer(lambda: torch.nn.Conv1d(2, 4, 3, 2, 1, groups=2)),
        equinox_layer(lambda key: eqx.nn.Conv1d(2, 4, 3, 2, 1, groups=2, key=key), conv_bias),
    ),
    "conv3d": Case(
        lambda n, p: nn.Conv3d(n, 2, 3, (2, 3, 1), dilation=(1, 2, 1), prior=p),
        ("volume",),
        torch_layer(lambda: torch.nn.Conv3d(2, 3, (2, 3, 1), dilation=(1, 2, 1))),
        equinox_layer(lambda key: eqx.nn.Conv3d(2, 3, (2, 3, 1), dilation=(1, 2, 1), key=key), conv_bias),
    ),
    "conv_transpose1d": Case(
        lambda n, p: nn.ConvTranspose1d(n, 2, 3, 4, stride=2, padding=1, output_padding=1, prior=p),
        ("line",),
        torch_layer(lambda: torch.nn.ConvTranspose1d(2, 3, 4, 2, 1, 1)),
    ),
    "conv_transpose3d": Case(
        lambda n, p: nn.ConvTranspose3d(n, 2, 3, 2, stride=(1, 2, 1), prior=p),
        ("volume",),
        torch_layer(lambda: torch.nn.ConvTranspose3d(2, 3, 2, (1, 2, 1))),
    ),
    "group_norm": Case(
        lambda n, p: nn.GroupNorm(n, 2, 4, prior=p),
        ("picture",),
        torch_layer(lambda: torch.nn.GroupNorm(2, 4)),
        equinox_layer(lambda key: eqx.nn.GroupNorm(2, 4), same),
    ),
    "rms_norm": Case(
        lambda n, p: nn.RMSNorm(n, 4, prior=p),
        ("vector",),
        torch_layer(lambda: torch.nn.RMSNorm(4, 1e-5)),
        equinox_layer(lambda key: eqx.nn.RMSNorm(4, use_bias=False), same),
    ),
    "monotone": Case(lambda n, p: nn.Monotone(n, [4, 5, 2], prior=p), ("vector",), monotone),
    "nested": Case(blocks, ("vector",), in_blocks),
    "positions": Case(placed, ("sequence",), at_places),
    "residual": Case(block, ("vector",), residual),
    "pooling": Case(pooling, ("picture",), pooled),
}


def program_of(prior: Any = None, names: Sequence[str] = tuple(CASES)) -> Program:
    """Layers on the rows of the data, each with a site behind it."""

    @ppl.model
    def everything(data):
        nets = {name: CASES[name].make(name, prior) for name in names}
        with ppl.plate("rows", data) as row:
            for name in names:
                out = ppl.deterministic(f"out_{name}", nets[name](*(row[i] for i in CASES[name].inputs)))
                ppl.sample(f"y_{name}", dist.Normal(out, 1.0))

    return everything(DATA)


@pytest.fixture(scope="module")
def program() -> Program:
    return program_of()


@pytest.fixture(scope="module")
def weights(program: Program) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(11)
    specs = [n.spec for n in program.networks.values()]
    return {k: generator.normal(size=w.shape) * 0.5 for spec in specs for k, w in spec.weights.items()}


@dataclass(frozen=True)
class Found:
    """What a backend computes: results by layer, and gradients of their weighted sum by weight."""

    outputs: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def results(program: Program, weights: dict[str, np.ndarray]) -> dict[str, Found]:
    values = {name: log_density(program).values[f"out_{name}"] for name in CASES}
    generator = np.random.default_rng(5)
    directions = {name: generator.normal(size=(ROWS, *v.shape)) for name, v in values.items()}
    found: dict[str, Found] = {}
    for backend in BACKENDS:
        side = ppl.compile(program, backend, precision="float64")
        emitted = side.emitter(lead=False).emit("outputs", values)
        function, data, params = side.load(emitted), side.bind(emitted), side.param_arrays(weights)
        along = {n: side.backend.array(d, "float", "float64") for n, d in directions.items()}
        grads_of = by_torch if backend == "pyro" else by_jax

        def loss(
            params: Any, function: Any = function, data: Any = data, along: Mapping[str, Any] = along
        ) -> tuple[Any, Any]:
            out = function(params, {}, data, {})
            return sum((out[n] * d).sum() for n, d in along.items()), out

        outputs, gradients = grads_of(loss, params)
        found[backend] = Found(*({n: np.asarray(a) for n, a in group.items()} for group in (outputs, gradients)))
    return found


def by_torch(loss: Callable[..., Any], params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    leaves = {n: p.requires_grad_() for n, p in params.items()}
    total, out = loss(leaves)
    grads = torch.autograd.grad(total, list(leaves.values()))
    return {n: a.detach() for n, a in out.items()}, dict(zip(leaves, grads, strict=True))


def by_jax(loss: Callable[..., Any], params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    with jax.enable_x64(True):
        # It runs once, so it need not be quick.
        options: dict[str, Any] = {"xla_backend_optimization_level": 0}
        grads, out = jax.jit(jax.grad(loss, has_aux=True), compiler_options=options)(params)
    return out, grads


def own_weights(name: str, weights: dict[str, np.ndarray]) -> Weights:
    own = {k.split(".", 1)[1]: w for k, w in weights.items() if k.startswith(f"{name}.")}
    # A network of one layer has "0." in front of its names; one of several keeps the numbers of its layers.
    single = {k.split(".", 1)[0] for k in own} == {"0"}
    return {k.removeprefix("0.") if single else k: w for k, w in own.items()}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_a_layer_is_that_of_torch_with_the_same_weights(name: str, backend: str, results: Any, weights: Any):
    case = CASES[name]
    assert case.torch is not None
    expected = case.torch(own_weights(name, weights), [DATA[i] for i in case.inputs])
    np.testing.assert_allclose(results[backend].outputs[name], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.jax])
def test_a_layer_is_that_of_equinox_with_the_same_weights(name: str, results: Any, weights: Any):
    case = CASES[name]
    assert case.jax is not None
    with jax.enable_x64(True):
        expected = case.jax(own_weights(name, weights), [DATA[i] for i in case.inputs])
    np.testing.assert_allclose(results["numpyro"].outputs[name], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_gradients_by_the_weights_of_a_layer_agree(name: str, results: dict[str, Found]):
    one, two = (results[b].gradients for b in BACKENDS)
    own = [k for k in one if k.startswith(f"{name}.")]
    assert own and any(np.abs(one[k]).max() > 1e-3 for k in own)
    for k in own:
        np.testing.assert_allclose(one[k], two[k], rtol=1e-9, atol=1e-11, err_msg=k)


def test_every_kind_of_layer_is_tested(program: Program):
    """A kind of layer that stands neither here nor in `test_nn.py` is found; steps of flows are in `test_flows.py`."""

    def kinds(layers: Sequence[Layer]) -> set[str]:
        inner = [kinds(inner_layers(dict(x.settings))) for x in layers if x.kind == "residual"]
        return {x.kind for x in layers}.union(*inner)

    here = set[str]().union(*(kinds(n.spec.layers) for n in program.networks.values()))
    first = {"conv2d", "conv_transpose2d", "layer_norm", "embedding", "reshape", "flatten"}
    activations = {"identity", "leaky_relu", "softmax"}
    assert (here - set(ACTIVATIONS)) | first | activations == KINDS.keys() - STEPS.keys()


def test_native_models_have_the_densities_of_the_pure_function(program: Program, weights: dict[str, np.ndarray]):
    generator = np.random.default_rng(9)
    sides = {b: ppl.compile(program, b, precision="float64") for b in BACKENDS}
    values = {n: generator.normal(size=sides["pyro"].sizes(n)) for n in program.sites}
    terms = sides["pyro"].log_density(values, weights, by_site=True)
    for backend, side in sides.items():
        native = side.backend.native_log_density(program, side.source, values, weights, "float64")
        assert native.keys() == terms.keys()
        for name, term in terms.items():
            np.testing.assert_allclose(native[name], float(term.sum()), rtol=1e-10, err_msg=f"{backend} {name}")


def test_native_weights_have_the_names_of_the_specification(program: Program):
    """So a fit moves into torch by `load_state_dict`."""
    namespace: dict[str, Any] = {}
    exec(program.to_source("pyro"), namespace)  # noqa: S102 - what the user would do with the text
    for name, network in program.networks.items():
        shapes = {f"{name}.{k}": tuple(v.shape) for k, v in namespace[f"{name}_network"].named_parameters()}
        assert shapes == {k: w.shape for k, w in network.spec.weights.items()}


# Layers that differ in how random weights with leading axes are lowered; JAX takes long to compile all of them.
RANDOM = ["lstm_cell", "gru", "rnn_both_ways", "attention_to_another", "attention_pool", "conv3d", "group_norm"]


@pytest.mark.parametrize(("backend", "names"), [("pyro", list(CASES)), ("numpyro", RANDOM)], ids=BACKENDS[::-1])
def test_random_weights_with_leading_axes_equal_a_loop(backend: str, names: list[str]):
    program = program_of(dist.Normal(0.0, 0.5), names)
    assert {n for n in program.sites if not n.startswith("y_")} == {
        k for n in program.networks.values() for k in n.spec.weights
    }
    side = ppl.compile(program, backend, precision="float64")
    generator = np.random.default_rng(3)
    draws = {n: generator.normal(size=(2, *side.sizes(n))) * 0.5 for n in program.sites}
    together = side.log_density(draws, by_site=True)
    for i in range(2):
        alone = side.log_density({n: v[i : i + 1] for n, v in draws.items()}, by_site=True)
        for name, term in alone.items():
            np.testing.assert_allclose(np.asarray(together[name])[i], np.asarray(term)[0], rtol=1e-10, err_msg=name)


def test_programs_with_layers_survive_a_file(program: Program):
    again = ppl.Program.from_json(program.to_json())
    assert {n: s.spec for n, s in again.networks.items()} == {n: s.spec for n, s in program.networks.items()}
    assert str(again) == str(program)
    assert "out_gru_from_a_state = gru_from_a_state(data.sequence[rows], data.state[rows])" in str(program)
    assert "gru_backward = GRU(4, 6, direction='backward')" in str(program)


def test_a_fit_moves_to_the_other_library_with_its_layers():
    @ppl.model
    def model(x):
        net, out = nn.GRU("net", 4, 3), nn.TransformerBlock("block", 3)
        spread = ppl.sample("spread", dist.LogNormal(0.0, 1.0))
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(out(net(row)), spread))

    program = model(DATA["sequence"]).observe(y=np.zeros((ROWS, 5, 3)))
    fit = ppl.infer(program, SVI(guide=AutoNormal(), steps=2), backend="pyro")
    here, there = fit.network("net"), fit.to_backend("numpyro").network("net")
    assert isinstance(here, torch.nn.Module) and isinstance(there, eqx.Module)
    x = DATA["sequence"].astype("float32")
    in_jax: Any = there
    with torch.no_grad():
        one, two = here.forward(torch.tensor(x)).numpy(), np.asarray(in_jax(jnp.asarray(x)))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_a_layer_that_meets_two_shapes_is_refused_as_a_native_model_only():
    @ppl.model
    def model():
        net = nn.GRU("net", 4, 3)
        ppl.sample("y", dist.Normal(net(np.ones((2, 4)))[-1] + net(np.ones((5, 4)))[-1], 1.0))

    with pytest.raises(UnsupportedByBackend, match="its calls have elements of different shapes"):
        model().to_source("pyro")
    side = ppl.compile(model(), "pyro")
    assert np.isfinite(float(side.log_density({"y": np.zeros(3)})))


def test_a_compiled_recurrence_has_the_gradient_of_the_library_s_kernel():
    """Under torch.compile the kernel gives way to a loop: the gradient of the kernel cannot be compiled."""
    generator = np.random.default_rng(1)
    x, *weights = (torch.tensor(generator.normal(size=s)) for s in ((2, 3, 2), (9, 2), (9, 3), (9,), (9,)))

    def loss(w: list[torch.Tensor]) -> torch.Tensor:
        return torch_layers.recurrent(x, *w, cell="gru", reverse=True).square().sum()

    eager = torch.func.grad(loss)(weights)
    compiled = torch.compile(torch.func.grad(loss), backend="aot_eager")(weights)
    for one, two in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


# --- networks of networks ---------------------------------------------------------------------------------------------


def test_a_hypernetwork_computes_the_weights_of_another():
    @ppl.model
    def model(x, code):
        net = nn.HyperNetwork("hyper", nn.MLP("target", [4, 3, 2], "tanh"), [6, 5], "relu")
        with ppl.plate("rows", (x, code)) as (row, c):
            ppl.sample("y", dist.Normal(net(c, row), 1.0))

    program = model(DATA["vector"], DATA["state"])
    assert list(program.networks) == ["hyper"]
    side = ppl.compile(program, "pyro", precision="float64")
    weights = side.params
    hidden = np.maximum(DATA["state"] @ weights["hyper.0.weight"].T + weights["hyper.0.bias"], 0.0)
    flat = hidden @ weights["hyper.2.weight"].T + weights["hyper.2.bias"]
    expected = []
    for row, numbers in zip(DATA["vector"], flat, strict=True):
        w, b, v, c = np.split(numbers, np.cumsum([12, 3, 6]))
        expected.append(np.tanh(row @ w.reshape(3, 4).T + b) @ v.reshape(2, 3).T + c)
    y = NUMBERS.normal(size=(ROWS, 2))
    exact = (-0.5 * (y - expected) ** 2 - 0.5 * np.log(2 * np.pi)).sum()
    np.testing.assert_allclose(np.asarray(side.log_density({"y": y})), exact, rtol=1e-12)


def test_every_layer_of_a_sequence_is_given_the_adjacency_matrix():
    @ppl.model
    def model(x, edges):
        parts = [nn.GraphConv("one", 4, 3), "relu", nn.GraphConv("two", 3, 2), nn.Pool("mean")]
        net = nn.Sequential("net", parts)
        with ppl.plate("graphs", (x, edges)) as (nodes, matrix):
            ppl.sample("y", dist.Normal(net(nodes, matrix), 1.0))

    program = model(DATA["sequence"], DATA["edges"])
    side = ppl.compile(program, "pyro", precision="float64")
    w = {k.removeprefix("net."): v for k, v in side.params.items()}
    hidden = np.maximum(DATA["edges"] @ (DATA["sequence"] @ w["one.weight"].T) + w["one.bias"], 0.0)
    mean = (DATA["edges"] @ (hidden @ w["two.weight"].T) + w["two.bias"]).mean(-2)
    exact = -0.5 * (mean**2 + np.log(2 * np.pi)).sum()
    np.testing.assert_allclose(np.asarray(side.log_density({"y": np.zeros((ROWS, 2))})), exact, rtol=1e-12)


def test_networks_of_networks_agree_on_both_backends():
    @ppl.model
    def model(x, code):
        net = nn.HyperNetwork("hyper", nn.MLP("target", [4, 3], "tanh"), [6, 5])
        with ppl.plate("rows", (x, code)) as (row, c):
            ppl.sample("y", dist.Normal(net(c, row), 1.0))

    assert ppl.agreement(model(DATA["vector"], DATA["state"]), precision="float64").difference < 1e-9


def test_a_monotone_network_increases():
    @ppl.model
    def model(x):
        net = nn.Monotone("net", [1, 6, 1], "elu")
        with ppl.plate("rows", x) as row:
            ppl.deterministic("out", net(row)[0])
            ppl.sample("y", dist.Normal(0.0, 1.0))

    side = ppl.compile(model(np.linspace(-4.0, 4.0, 50)[:, None]), "pyro", precision="float64", seed=3)
    out: np.ndarray = side.simulate((), key=side.backend.key(0))["out"].numpy()
    assert np.all(out[1:] > out[:-1])


# --- mistakes ---------------------------------------------------------------------------------------------------------

MISTAKES: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "state is missing": (lambda x: nn.GRUCell("net", 4, 6)(x), ShapeError, "called with 1 inputs"),
    "state of a wrong size": (
        lambda x: nn.GRUCell("net", 4, 6)(x, ops.zeros(5)),
        ShapeError,
        "cannot have event shape",
    ),
    "too many inputs": (lambda x: nn.Linear("net", 4, 6)(x, x), ShapeError, "called with 2 inputs"),
    "a vector as a sequence": (lambda x: nn.GRU("net", 4, 6)(x), ShapeError, "a recurrence over 4 features"),
    "no such direction": (lambda x: nn.GRU("net", 4, 6, direction="up"), ModelError, "no direction 'up'"),
    "first state of two ways": (
        lambda x: nn.GRU("net", 4, 6, direction="both")(ops.zeros((2, 4)), ops.zeros(6)),
        ShapeError,
        "called with 2 inputs",
    ),
    "heads that do not divide": (lambda x: nn.Attention("net", 4, 3), ShapeError, "3 heads do not divide 4 features"),
    "attention of a vector": (lambda x: nn.Attention("net", 4, 2)(x), ShapeError, "attention over 4 features"),
    "groups of a convolution": (lambda x: nn.Conv1d("net", 4, 3, 2, groups=2), ShapeError, "2 groups do not divide"),
    "kernel of a wrong rank": (lambda x: nn.Conv3d("net", 4, 3, (2, 2)), ShapeError, "one for each of 3 spatial axes"),
    "groups of a norm": (lambda x: nn.GroupNorm("net", 3, 4), ShapeError, "3 groups do not divide 4 channels"),
    "channels of a norm": (lambda x: nn.GroupNorm("net", 2, 6)(x), ShapeError, "a group norm of 6 channels"),
    "size of an RMS norm": (lambda x: nn.RMSNorm("net", 3)(x), ShapeError, "a layer norm over"),
    "residual of another shape": (
        lambda x: nn.Residual("net", [nn.Linear("l", 4, 5)])(x),
        ShapeError,
        r"has to keep event shape \(4,\)",
    ),
    "graph of another size": (
        lambda x: nn.GraphConv("net", 4, 3)(ops.zeros((2, 4)), ops.zeros((3, 3))),
        ShapeError,
        "do not fit an adjacency matrix",
    ),
    "sets that do not fit": (lambda x: nn.DeepSets("net", [4, 5], [4, 2]), ModelError, "rows of 5 features are pooled"),
    "an activation that falls": (
        lambda x: nn.Monotone("net", [4, 1], "gelu"),
        ModelError,
        "does not increase everywhere",
    ),
    "a pool of nothing": (lambda x: nn.Pool("median"), ShapeError, "'mean', 'sum' or 'max'"),
    "a window without a stride": (lambda x: nn.MaxPool([2, 2], stride=[1]), ShapeError, "a window needs one size"),
    "a random target": (
        lambda x: nn.HyperNetwork("net", nn.Linear("t", 4, 1, prior=dist.Normal(0.0, 1.0)), [4]),
        ModelError,
        "cannot be given its weights",
    ),
    "an element that does not fit the target": (
        lambda x: nn.HyperNetwork("net", nn.GroupNorm("t", 2, 6), [4])(x, x),
        ShapeError,
        "network 't' does not fit its input",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str):
    attempt, error, message = MISTAKES[name]

    @ppl.model
    def model():
        attempt(ops.ones(4))

    with pytest.raises(error, match=message):
        model()
