"""Networks: one specification, the same numbers from torch.nn, equinox and the emitted functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
import torch

import ppl
from ppl import dist, nn
from ppl.backend.compiled import Compiled
from ppl.errors import ModelError, ShapeError, UnsupportedByBackend
from ppl.program.program import Program

NUMBERS = np.random.default_rng(5)
BACKENDS = ("numpyro", "pyro")

Build = Callable[[], Any]
# name -> (the network, event shape of its input, event shape of its output)
NETWORKS: dict[str, tuple[Build, tuple[int, ...], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear("net", 3, 2), (3,), (2,)),
    "linear without bias": (lambda: nn.Linear("net", 3, 2, bias=False), (3,), (2,)),
    "linear on the rows of a matrix": (lambda: nn.Linear("net", 3, 2), (5, 3), (5, 2)),
    "mlp": (lambda: nn.MLP("net", [3, 4, 2]), (3,), (2,)),
    "every activation": (
        lambda: nn.Sequential(
            "net",
            [
                nn.Linear("l", 3, 2),
                *(["relu", "tanh", "sigmoid", "softplus", "gelu", "silu", "elu", "leaky_relu", "identity", "softmax"]),
            ],
        ),
        (3,),
        (2,),
    ),
    "conv": (lambda: nn.Conv2d("net", 2, 3, 3, stride=2, padding=1), (2, 6, 5), (3, 3, 3)),
    "grouped and dilated conv": (
        lambda: nn.Conv2d("net", 4, 2, 2, dilation=2, groups=2, bias=False),
        (4, 5, 5),
        (2, 3, 3),
    ),
    "transposed conv": (
        lambda: nn.ConvTranspose2d("net", 2, 3, (3, 2), stride=2, padding=1, output_padding=1),
        (2, 3, 4),
        (3, 6, 7),
    ),
    "layer norm": (lambda: nn.LayerNorm("net", 3), (3,), (3,)),
    "layer norm over two axes": (lambda: nn.LayerNorm("net", [2, 3]), (2, 3), (2, 3)),
    "layer norm on the rows of a matrix": (lambda: nn.LayerNorm("net", 3), (2, 3), (2, 3)),
    "images": (
        lambda: nn.Sequential(
            "net",
            [nn.Conv2d("c", 1, 2, 3, padding=1), "relu", nn.Flatten(), nn.Linear("l", 32, 12), nn.Reshape([3, 2, 2])],
        ),
        (1, 4, 4),
        (3, 2, 2),
    ),
    "flatten a matrix": (lambda: nn.Sequential("net", [nn.Flatten(), nn.Linear("l", 6, 2)]), (2, 3), (2,)),
    "reshape a matrix": (lambda: nn.Sequential("net", ["tanh", nn.Reshape([6]), nn.Linear("l", 6, 1)]), (2, 3), (1,)),
    "activation first": (lambda: nn.Sequential("net", ["tanh", nn.MLP("m", [3, 2, 2], "relu")]), (4, 3), (4, 2)),
}


def program_of(build: Build, shape: tuple[int, ...], nested: bool = False) -> Program:
    @ppl.model
    def small(x):
        net = build()
        with ppl.plate("rows", x) as row:
            if nested:
                with ppl.plate("columns", row) as cell:
                    ppl.sample("y", dist.Normal(net(cell), 1.0))
            else:
                ppl.sample("y", dist.Normal(net(row), 1.0))

    return small(NUMBERS.normal(size=((4, 2) if nested else (4,)) + shape))


# Under two plates rows have to be folded; these are the layers for which that takes some care.
FOLDED = ["linear on the rows of a matrix", "transposed conv", "layer norm over two axes", "images", "flatten a matrix"]


@pytest.mark.parametrize(("name", "nested"), [(n, False) for n in NETWORKS] + [(n, True) for n in FOLDED])
def test_both_backends_and_both_libraries_agree(name: str, nested: bool):
    build, shape, out = NETWORKS[name]
    program = program_of(build, shape, nested)
    assert program.sites["y"].dist.event_shape == out
    table = ppl.agreement(program, precision="float64")
    assert table.difference < 1e-9, str(table)


@pytest.mark.parametrize("prior", [False, True], ids=["learned", "random"])
def test_embeddings_are_looked_up_by_integers(prior: bool):
    @ppl.model
    def words(index):
        table = nn.Embedding("table", 5, 3, prior=dist.Normal(0.0, 1.0) if prior else None)
        with ppl.plate("rows", index) as i:
            ppl.sample("y", dist.Normal(table(i), 1.0))

    program = words(np.array([4, 0, 2]))
    assert program.sites["y"].dist.event_shape == (3,)
    assert ppl.agreement(program, precision="float64").difference < 1e-9


def test_a_network_outside_any_plate():
    @ppl.model
    def once():
        net = nn.Conv2d("net", 1, 2, 2)
        ppl.sample("y", dist.Normal(net(np.ones((1, 3, 3))), 1.0))

    assert ppl.agreement(once(), precision="float64").difference < 1e-9


PRIOR = dist.Normal(0.0, 1.0)
# Networks whose weights are sites; each of them draws with leading axes of its own.
RANDOM: dict[str, tuple[Build, tuple[int, ...]]] = {
    "mlp": (lambda: nn.MLP("net", [3, 2, 1], "tanh", prior=PRIOR), (3,)),
    "linear without bias": (lambda: nn.Linear("net", 3, 2, bias=False, prior=PRIOR), (2, 3)),
    "conv": (lambda: nn.Conv2d("net", 2, 3, 2, prior=PRIOR), (2, 3, 3)),
    "transposed conv": (lambda: nn.ConvTranspose2d("net", 2, 3, 2, stride=2, bias=False, prior=PRIOR), (2, 2, 2)),
    "sequence": (
        lambda: nn.Sequential(
            "net",
            [nn.Conv2d("c", 1, 2, 2), "relu", nn.Flatten(), nn.LayerNorm("n", 8), nn.Linear("l", 8, 2)],
            prior=PRIOR,
        ),
        (1, 3, 3),
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", RANDOM)
def test_random_weights_with_leading_axes_equal_a_loop(name: str, backend: str):
    build, shape = RANDOM[name]
    program = program_of(build, shape)
    weights = {n for n in program.sites if n.startswith("net.")}
    assert weights == set(program.networks["net"].spec.weights)
    side = ppl.compile(program, backend, precision="float64")
    draws = {n: NUMBERS.normal(size=(2, 3, *side.sizes(n))) for n in program.sites}
    together = np.asarray(side.log_density(draws))
    one_by_one = [
        [np.asarray(side.log_density({n: v[i, j] for n, v in draws.items()})) for j in range(3)] for i in range(2)
    ]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


@pytest.mark.parametrize("name", RANDOM)
def test_random_weights_agree_on_both_libraries(name: str):
    build, shape = RANDOM[name]
    assert ppl.agreement(program_of(build, shape, nested=True), precision="float64").difference < 1e-9


# --- parameters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_both_backends_start_from_equal_weights_under_torchs_names(name: str):
    build, shape, _ = NETWORKS[name]
    program = program_of(build, shape)
    one, two = (ppl.compile(program, b, seed=4) for b in BACKENDS)
    assert one.params.keys() == two.params.keys() == program.networks["net"].spec.weights.keys()
    for key, array in one.params.items():
        np.testing.assert_array_equal(array, two.params[key])
    namespace: dict[str, Any] = {}
    exec(program.to_source("pyro"), namespace)  # noqa: S102 - what the user would do with the text
    shapes = {f"net.{k}": tuple(v.shape) for k, v in namespace["net_network"].named_parameters()}
    assert shapes == {k: v.shape for k, v in one.params.items()}
    assert any(np.any(ppl.compile(program, "pyro", seed=5).params[k] != v) for k, v in one.params.items()) or (
        "layer norm" in name
    )


def test_model_and_guide_share_a_network_by_its_name():
    @ppl.model
    def model(x):
        net = nn.Linear("net", 3, 2)
        with ppl.plate("rows", x) as row:
            ppl.sample("z", dist.Normal(net(row), 1.0))

    x = np.ones((2, 3))
    model(x).check(model(x))
    assert model(x).networks["net"].spec == model(x).networks["net"].spec


def test_parts_of_a_sequence_lose_their_own_entry():
    @ppl.model
    def model():
        net = nn.Sequential("net", [nn.MLP("inner", [2, 3, 3]), "tanh", nn.Linear("last", 3, 1)])
        ppl.sample("y", dist.Normal(net(np.ones(2)), 1.0))

    program = model()
    assert list(program.networks) == ["net"]
    weights = program.networks["net"].spec.weights
    assert list(weights) == [
        "net.inner_0.weight", "net.inner_0.bias", "net.inner_2.weight", "net.inner_2.bias", "net.last.weight",
        "net.last.bias",
    ]  # fmt: skip
    assert repr(nn.NetworkValue(program.networks["net"].spec)).startswith("Sequential([MLP([2, 3, 3]")


def test_what_is_no_network_cannot_be_a_part():
    @ppl.model
    def model():
        nn.Sequential("net", [torch.nn.Linear(2, 2)])  # pyright: ignore[reportArgumentType]

    with pytest.raises(ModelError, match="cannot be a part of a Sequential") as caught:
        model()
    assert caught.value.got == "Linear"


# --- the user's own modules ---------------------------------------------------------------------------------------


class TorchNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.inner(x))


class JaxNet(eqx.Module):
    inner: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        self.inner = eqx.nn.Linear(3, 2, key=key)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.numpy.tanh(self.inner(x))


def own(**factories: Any) -> Program:
    @ppl.model
    def small(x):
        net = nn.module("net", out_shape=2, **factories)
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(net(row), 1.0))

    return small(NUMBERS.normal(size=(4, 3)))


def test_the_users_own_modules_on_both_backends():
    program = own(torch=TorchNet, jax=JaxNet)
    weight, bias = NUMBERS.normal(size=(2, 3)), NUMBERS.normal(size=2)
    expected = np.tanh(program.data["x"] @ weight.T + bias)
    y = NUMBERS.normal(size=(5, 4, 2))
    exact = (-0.5 * (y - expected) ** 2 - 0.5 * np.log(2 * np.pi)).sum((1, 2))
    for backend in BACKENDS:
        side: Compiled = ppl.compile(program, backend, precision="float64")
        names = {"weight": weight, "bias": bias}
        params = {k: names[k.rpartition(".")[2]] for k in side.params}
        assert len(params) == 2
        np.testing.assert_allclose(np.asarray(side.log_density({"y": y}, params)), exact, rtol=1e-12)
        native = side.backend.native_log_density(program, side.source, {"y": y[0]}, params, "float64")
        np.testing.assert_allclose(native["y"], exact[0], rtol=1e-12)
    assert "your own module" in program.to_source("pyro")


@pytest.mark.parametrize(("backend", "factory"), [("numpyro", "torch"), ("pyro", "jax")])
def test_a_backend_without_a_factory_refuses(backend: str, factory: str):
    program = own(**{factory: {"torch": TorchNet, "jax": JaxNet}[factory]})
    with pytest.raises(UnsupportedByBackend, match=r"network 'net'(.*\n)*.*use"):
        ppl.compile(program, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_module_of_another_shape_is_found_when_compiling(backend: str):
    @ppl.model
    def small(x):
        net = nn.module("net", torch=TorchNet, jax=JaxNet, out_shape=5)
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(net(row), 1.0))

    with pytest.raises(ShapeError, match="network 'net': your module does not give what was declared") as caught:
        ppl.compile(small(np.zeros((4, 3))), backend)
    assert caught.value.got == "event shape (2,)"
    assert caught.value.declared_at is not None and caught.value.declared_at.file == __file__


def test_a_module_that_cannot_take_its_element_is_found_when_compiling_for_jax():
    @ppl.model
    def small(x):
        net = nn.module("net", jax=JaxNet, out_shape=2)
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(net(row), 1.0))

    with pytest.raises(ShapeError, match="your module does not give") as caught:
        ppl.compile(small(np.zeros((4, 7))), "numpyro")
    assert "for an element of shape (7,)" in str(caught.value.expected)


class Looks(TorchNet):
    """A module that cannot run without data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * float(x.sum() > -np.inf)


def test_a_torch_module_that_looks_at_numbers_is_checked_when_it_runs():
    @ppl.model
    def small(x):
        net = nn.module("net", torch=Looks, out_shape=5)
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(net(row), 1.0))

    side = ppl.compile(small(np.zeros((4, 3))), "pyro")
    with pytest.raises(ShapeError, match="your module does not give what was declared"):
        side.log_density({"y": np.zeros((4, 5))})


def test_layers_that_need_different_mappings_are_refused_by_native_equinox():
    build = lambda: nn.Sequential("net", [nn.Linear("l", 3, 2), nn.LayerNorm("n", [4, 2])])
    program = program_of(build, (4, 3))
    with pytest.raises(UnsupportedByBackend, match="different numbers of event axes"):
        program.to_source("numpyro")
    # The emitted functions have no such limit, and neither has torch.
    y = np.zeros((4, 4, 2))
    one, two = (np.asarray(ppl.compile(program, b, precision="float64").log_density({"y": y})) for b in BACKENDS)
    np.testing.assert_allclose(one, two, rtol=1e-12)
    assert "LayerNorm" in program.to_source("pyro")
