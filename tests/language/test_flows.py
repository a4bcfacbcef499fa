"""Normalizing flows: determinants by automatic differentiation, both directions, both backends, and what is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import ppl
from ppl import dist, nn
from ppl.backend import jax_modules, torch_modules
from ppl.backend.compiled import Compiled
from ppl.errors import ModelError, ScopeError, ShapeError, StrategyError, SupportError, UnknownNameError
from ppl.inference import SVI, AutoDelta
from ppl.program.flows import STEPS
from ppl.transforms.density import simulator

BACKENDS = ("numpyro", "pyro")
SIZE, CONTEXT, ROWS = 4, 2, 2
NUMBERS = np.random.default_rng(0)
X = 1.5 * NUMBERS.normal(size=(ROWS, SIZE))
# Beyond the interval of the splines there are tails.
X[0, 1], X[1, 3] = 3.7, -4.2
H = NUMBERS.normal(size=(ROWS, CONTEXT))

FLOWS: dict[str, Callable[[], dist.Flow]] = {
    "RealNVP": lambda: nn.RealNVP("flow", SIZE, [6], layers=3),
    "RealNVP.context": lambda: nn.RealNVP("flow", SIZE, [], layers=2, context=CONTEXT, mixing="householder"),
    "RealNVP.lu": lambda: nn.RealNVP("flow", SIZE, [6, 4], layers=3, mixing="lu", activation="tanh"),
    "SplineCoupling": lambda: nn.SplineCoupling("flow", SIZE, [6], layers=2, bins=4),
    "SplineCoupling.context": lambda: nn.SplineCoupling("flow", SIZE, [6], layers=2, bound=2.0, context=CONTEXT),
    "MAF": lambda: nn.MAF("flow", SIZE, [8], layers=2, mixing="permute"),
    "MAF.spline": lambda: nn.MAF("flow", SIZE, [], layers=1, transform="spline", bins=4),
    "IAF.context": lambda: nn.IAF("flow", SIZE, [8, 7], layers=2, context=CONTEXT, activation="tanh"),
    "Elementwise": lambda: nn.Elementwise("flow", SIZE),
    "Elementwise.affine": lambda: nn.Elementwise("flow", SIZE, "affine"),
    "Mixing.householder": lambda: nn.Mixing("flow", SIZE, "householder", reflections=3),
    "Planar.context": lambda: nn.Planar("flow", SIZE, layers=2, context=CONTEXT, hidden=[3]),
    "Radial": lambda: nn.Radial("flow", SIZE, layers=3),
}
ONE_WAY = {"Planar.context", "Radial"}
TWO_WAY = [name for name in FLOWS if name not in ONE_WAY]


def declared(name: str, h: Any) -> dist.Flow:
    flow = FLOWS[name]()
    return flow.given(h) if name.endswith("context") else flow


@ppl.model
def both_ways(x, h, name: str):
    """Image, log determinant, and the way back."""
    with ppl.plate("rows", (x, h)) as (row, c):
        flow = declared(name, c)
        image, log_det = flow.forward_with_log_det(row)
        ppl.deterministic("image", image)
        ppl.deterministic("log_det", log_det)
        if flow.invertible():
            back, there = flow.inverse_with_log_det(image)
            ppl.deterministic("back", back)
            ppl.deterministic("there", there)


@ppl.model
def density(h, name: str):
    with ppl.plate("rows", h) as c:
        ppl.sample("z", dist.Transformed(dist.Normal(0.0, 1.0).expand([SIZE]), declared(name, c)))


def bent(side: Compiled, scale: float = 0.7) -> dict[str, np.ndarray]:
    """Weights that bend the flow: at its usual start it is the identity."""
    generator = np.random.default_rng(3)
    return {name: scale * generator.normal(size=start.shape) for name, start in side.params.items()}


@functools.cache
def compiled(name: str, backend: str) -> Compiled:
    return ppl.compile(both_ways(X, H, name), backend, precision="float64")


@functools.cache
def outputs(name: str, backend: str) -> dict[str, np.ndarray]:
    side = compiled(name, backend)
    found = side.simulate((), key=side.backend.key(0), params=bent(side))
    return {n: side.backend.to_numpy(v) for n, v in found.items()}


@functools.cache
def jacobians(name: str, backend: str) -> np.ndarray:
    """Derivatives of the images by the automatic differentiation of the library, shape (rows, size, size)."""
    side = compiled(name, backend)
    image = simulator(side.program, lead=False).values["image"]
    emitted = side.emitter(lead=False).emit("image", {"image": image}, single=True)
    function = side.load(emitted)
    arrays, data = side.param_arrays(bent(side)), side.bind(emitted)

    def summed(x: Any) -> Any:
        # Each row depends on its own row alone.
        return function(arrays, {}, {**data, "x": x}, {}).sum(0)

    with side.backend.context("float64"):
        if backend == "pyro":
            found = torch.func.jacrev(summed)(torch.tensor(X)).numpy()
        else:
            found = np.asarray(jax.jit(jax.jacfwd(summed))(jnp.asarray(X)))
    return np.moveaxis(found, 1, 0)


def test_every_kind_of_step_is_tested():
    kinds = {layer.kind for name in FLOWS for layer in both_ways(X, H, name).networks["flow"].spec.layers}
    assert kinds == STEPS.keys()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FLOWS)
def test_the_log_determinant_is_that_of_the_derivative(name: str, backend: str):
    expected = np.linalg.slogdet(jacobians(name, backend))[1]
    np.testing.assert_allclose(outputs(name, backend)["log_det"], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", TWO_WAY)
def test_the_inverse_undoes_the_flow(name: str):
    found = outputs(name, "pyro")
    assert not np.allclose(found["image"], X)
    np.testing.assert_allclose(found["back"], X, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found["there"], found["log_det"], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", FLOWS)
def test_both_backends_give_one_flow(name: str):
    one, two = (outputs(name, backend) for backend in BACKENDS)
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_allclose(one[key], two[key], rtol=1e-9, atol=1e-9)


def test_an_autoregressive_map_depends_on_earlier_entries_alone():
    derivative = jacobians("MAF.spline", "pyro")
    np.testing.assert_allclose(derivative, np.tril(derivative), atol=1e-12)
    below = derivative[:, *np.tril_indices(SIZE, -1)]
    assert np.all(np.abs(below).max(0) > 0.0)


def test_reflections_keep_lengths():
    np.testing.assert_allclose(outputs("Mixing.householder", "pyro")["log_det"], 0.0, atol=1e-15)
    image = outputs("Mixing.householder", "pyro")["image"]
    np.testing.assert_allclose(np.linalg.norm(image, axis=1), np.linalg.norm(X, axis=1), rtol=1e-12)


@pytest.mark.parametrize("name", ["RealNVP", "SplineCoupling.context", "MAF", "Elementwise"])
def test_a_flow_starts_as_the_identity_up_to_order(name: str):
    side = compiled(name, "pyro")
    found = side.simulate((), key=side.backend.key(0))
    np.testing.assert_allclose(np.sort(found["image"], axis=1), np.sort(X, axis=1), atol=1e-12)
    np.testing.assert_allclose(found["log_det"], 0.0, atol=1e-12)


# --- as distributions -------------------------------------------------------------------------------------------------


@ppl.model
def plane(size: int, kind: str):
    flow = {
        "RealNVP": lambda: nn.RealNVP("flow", size, [8], layers=2),
        "SplineCoupling": lambda: nn.SplineCoupling("flow", size, [8], layers=2, bound=4.0),
        "MAF": lambda: nn.MAF("flow", size, [8], layers=2),
        "Elementwise": lambda: nn.Elementwise("flow", size),
    }[kind]()
    ppl.sample("z", dist.Transformed(dist.Normal(0.0, 1.0).expand([size]), flow))


@pytest.mark.parametrize("kind", ["RealNVP", "SplineCoupling", "MAF", "Elementwise"])
def test_the_density_integrates_to_one(kind: str):
    size = 1 if kind == "Elementwise" else 2
    side = ppl.compile(plane(size, kind), "pyro", precision="float64")
    line = np.linspace(-14.0, 14.0, 20_001 if size == 1 else 1_001)
    grid = np.stack(np.meshgrid(*[line] * size, indexing="ij"), -1)
    values = np.exp(np.asarray(side.log_density({"z": grid}, bent(side, 0.25))))
    assert values.sum() * (line[1] - line[0]) ** size == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", ["RealNVP.lu", "SplineCoupling.context", "IAF.context", "MAF"])
def test_a_draw_is_scored_as_its_value_is(name: str):
    """By the pass that made it, and by the inverse; leading axes in front."""
    side = ppl.compile(density(H, name), "pyro", precision="float64")
    draws = simulator(side.program, densities=True)
    outcome = {"z": draws.values["z"], "log_q": draws.log_probs["z"]}
    function = side.load(side.emitter().emit("draw", outcome))
    noise = {"z": torch.tensor(NUMBERS.normal(size=(3, 5, ROWS, SIZE)))}
    emitted = side.emitter().emit("draw", outcome)
    found = function(side.param_arrays(bent(side)), {}, side.bind(emitted), noise, lead=(3, 5))
    assert found["z"].shape == (3, 5, ROWS, SIZE) and found["log_q"].shape == (3, 5, ROWS)
    scored = side.log_density({"z": found["z"]}, bent(side), by_site=True)["z"]
    np.testing.assert_allclose(scored, found["log_q"], rtol=1e-8, atol=1e-8)


def test_a_draw_inverts_nothing():
    """A flow that has no inverse can still draw, and score its draws."""
    draws = simulator(density(H, "Planar.context"), densities=True)
    assert set(draws.log_probs) == {"z"}


def test_axes_in_front_are_further_vectors():
    """As the 1x1 convolution of Glow maps the channels at every place of an image."""

    @ppl.model
    def image(h):
        mix, flow = nn.Mixing("mix", SIZE), nn.MAF("flow", SIZE, [4], layers=1, context=CONTEXT)
        with ppl.plate("rows", h) as c:
            base = dist.Normal(0.0, 1.0).expand([3, SIZE])
            ppl.sample("z", dist.Transformed(base, mix, flow.given(c)))

    @ppl.model
    def vectors(h):
        mix, flow = nn.Mixing("mix", SIZE), nn.MAF("flow", SIZE, [4], layers=1, context=CONTEXT)
        with ppl.plate("rows", h) as c, ppl.plate("places", size=3):
            ppl.sample("z", dist.Transformed(dist.Normal(0.0, 1.0).expand([SIZE]), mix, flow.given(c)))

    z = NUMBERS.normal(size=(ROWS, 3, SIZE))
    sides = [ppl.compile(model(H), "pyro", precision="float64") for model in (image, vectors)]
    one, two = (np.asarray(side.log_density({"z": z}, bent(side))) for side in sides)
    np.testing.assert_allclose(one, two, rtol=1e-12)
    table = ppl.agreement(image(H), params=bent(sides[0]), precision="float64")
    assert not table.left_out and table.difference < 1e-9


@pytest.mark.parametrize(
    ("name", "precision", "allowed"),
    [
        ("SplineCoupling.context", "float32", 1e-5),
        ("SplineCoupling.context", "float64", 1e-9),
        ("IAF.context", "float64", 1e-9),
    ],
)
def test_native_models_agree(name: str, precision: str, allowed: float):
    program = density(H, name)
    params = bent(ppl.compile(program, "pyro"), 0.5)
    table = ppl.agreement(program, params=params, precision=precision)
    assert not table.left_out and table.difference < allowed, f"\n{table}"


@ppl.model
def chained(rows):
    """Random weights, a flow run backwards, and a chain with other bijections."""
    flow = nn.RealNVP("flow", SIZE, [3], layers=2, prior=dist.Normal(0.0, 0.3))
    back = nn.MAF("back", SIZE, [4], layers=1)
    base = dist.StudentT(4.0, 0.0, 1.0).expand([SIZE])
    with ppl.plate("rows", rows):
        ppl.sample("y", dist.Transformed(base, flow, dist.Inverse(back), dist.Affine(1.0, 0.5), dist.Exp()))


def test_random_weights_and_chains_agree():
    program = chained(X).observe(y=np.exp(X))
    assert "flow.0.0.weight" in program.latents
    side = ppl.compile(program, "pyro")
    table = ppl.agreement(program, params=bent(side), precision="float64")
    assert not table.left_out and table.difference < 1e-9, f"\n{table}"


@pytest.mark.parametrize("name", ["Planar.context", "RealNVP"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_native_guide_scores_its_draws(name: str, backend: str):
    """With Pyro's and NumPyro's own handlers, also where there is no inverse."""
    side = ppl.compile(density(H, name), backend)
    params = {k: v.astype("float32") for k, v in bent(side).items()}
    model = side.backend.native(side.program, side.source, "float32", params)
    if backend == "pyro":
        import pyro

        with pyro.get_param_store().scope():
            trace = pyro.poutine.trace(model).get_trace(**side.model_data)
            trace.compute_log_prob()
            site = trace.nodes["z"]
            z, scored = site["value"].detach().numpy(), site["log_prob"].detach().numpy()
    else:
        import numpyro

        seeded = numpyro.handlers.seed(model, jax.random.key(0))
        site = numpyro.handlers.trace(seeded).get_trace(**side.model_data)["z"]
        z, scored = np.asarray(site["value"]), np.asarray(site["fn"].log_prob(site["value"], site["intermediates"]))
    assert z.shape == (ROWS, SIZE) and scored.shape == (ROWS,) and np.all(np.isfinite(scored))
    if name not in ONE_WAY:
        expected = np.asarray(side.log_density({"z": z}, params, by_site=True)["z"])
        np.testing.assert_allclose(scored, expected, rtol=1e-4, atol=1e-4)


# --- text, files, weights ---------------------------------------------------------------------------------------------


def test_a_flow_prints_travels_and_compiles_to_text():
    @ppl.model
    def model(x):
        net, flow = nn.Linear("net", SIZE, CONTEXT), nn.SplineCoupling("flow", SIZE, [6], layers=2, context=CONTEXT)
        with ppl.plate("rows", x) as row:
            h = net(row)
            ppl.sample("z", dist.Transformed(dist.Normal(0.0, 1.0).expand([SIZE]), flow.given(h), dist.Exp()))

    program = model(X)
    assert "flow = SplineCoupling(4, [6], layers=2, bins=8, bound=3.0, context=2)" in str(program)
    assert "z ~ Transformed(Normal(0.0, 1.0).expand([4]), flow.given(h), Exp())" in str(program)
    assert program.parents("z") == ("x", "net", "flow")
    again = ppl.Program.from_json(program.to_json())
    assert again == program and str(again) == str(program)
    for backend in BACKENDS:
        assert "[flow.given(h), dist.transforms.ExpTransform()]" in program.to_source(backend)


def test_a_fit_moves_to_the_other_library_by_the_names_of_its_weights():
    @ppl.model
    def model(x):
        flow = nn.RealNVP("flow", SIZE, [6], layers=2)
        with ppl.plate("rows", x):
            ppl.sample("y", dist.Transformed(dist.Normal(0.0, 1.0).expand([SIZE]), flow))

    program = model(X).observe(y=X)
    fit = ppl.infer(program, SVI(guide=AutoDelta(), steps=5, progress=False), backend="pyro")
    assert {"flow.0.0.weight", "flow.0.1.bias", "flow.2.0.weight"} <= fit.params.keys()
    here, there = fit.network("flow"), fit.to_backend("numpyro").network("flow")
    assert type(here).__name__ == torch_modules.FlowModule.__name__
    assert type(there).__name__ == jax_modules.FlowModule.__name__
    x = X.astype("float32")
    with torch.no_grad():
        one = [a.numpy() for a in here(torch.tensor(x))]
    for a, b in zip(one, there(jnp.asarray(x)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# --- float32 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["RealNVP.lu", "SplineCoupling"])
def test_extreme_weights_and_values_stay_finite_in_float32(name: str, backend: str):
    """Bins that all but vanish, slopes near zero, values on the edges: values and gradients are finite."""
    side = ppl.compile(density(np.zeros((6, CONTEXT)), name), backend)
    draws = simulator(side.program, lead=False, densities=True)
    total = side.emitter(lead=False).emit(
        "total", {"log_q": draws.log_probs["z"], "z": draws.values["z"], "log_p": side_density(side)}
    )
    function = side.load(total)
    z = np.array([0.0, 3.0, -3.0, 2.9999, 1e3, -40.0])[:, None] * np.ones(SIZE)
    noise = side.backend.array(z, "float", "float32")
    start = {k: side.backend.array(v, "float", "float32") for k, v in bent(side, 8.0).items()}

    def run(params: Any, point: Any) -> Any:
        out = function(params, {"z": point}, side.bind(total), {"z": point})
        return out["log_q"].sum() + out["z"].sum() * 1e-6 + out["log_p"].sum()

    if backend == "pyro":
        leaves = {k: v.requires_grad_() for k, v in start.items()}
        noise.requires_grad_()
        value = run(leaves, noise)
        found = torch.autograd.grad(value, [*leaves.values(), noise])
        arrays = [value.detach().numpy(), *(g.numpy() for g in found)]
    else:
        value, grads = jax.jit(jax.value_and_grad(run, (0, 1)))(start, noise)
        arrays = [np.asarray(a) for a in jax.tree.leaves((value, grads))]
    assert all(np.all(np.isfinite(a)) for a in arrays)


def side_density(side: Compiled) -> Any:
    from ppl.transforms.density import log_density

    return log_density(side.program).terms["z"]


# --- mistakes ---------------------------------------------------------------------------------------------------------


def normal(size: int = SIZE) -> dist.Distribution:
    return dist.Normal(0.0, 1.0).expand([size])


def used(flow: Any, size: int = SIZE) -> None:
    ppl.sample("z", dist.Transformed(normal(size), flow))


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a vector of one number": (lambda: nn.RealNVP("flow", 1), ShapeError, "cannot be halved"),
    "a base of another size": (
        lambda: used(nn.RealNVP("flow", SIZE), 3),
        ShapeError,
        r"vectors of length 4 cannot take event shape \(3,\)",
    ),
    "a context that is not given": (
        lambda: used(nn.MAF("flow", SIZE, context=CONTEXT)),
        ModelError,
        "declared with a context and has been given none",
    ),
    "a context of another length": (
        lambda: nn.MAF("flow", SIZE, context=CONTEXT).given(np.zeros(3)),
        ShapeError,
        "takes a context of length 2",
    ),
    "a context for a flow without": (
        lambda: nn.MAF("flow", SIZE).given(np.zeros(2)),
        ShapeError,
        "takes no context",
    ),
    "hidden layers too narrow": (lambda: nn.IAF("flow", 9, [7]), ShapeError, "at least 8 units"),
    "an unknown transform": (
        lambda: nn.MAF("flow", SIZE, transform="splines"),
        UnknownNameError,
        "Did you mean 'spline'",
    ),
    "an unknown mixing": (lambda: nn.RealNVP("flow", SIZE, mixing="lup"), UnknownNameError, "Did you mean 'lu'"),
    "an unknown learned mixing": (lambda: nn.Mixing("flow", SIZE, "reverse"), UnknownNameError, "dist.Permute"),
    "one bin": (lambda: nn.SplineCoupling("flow", SIZE, bins=1), ModelError, "2 to 100 bins"),
    "no interval": (lambda: nn.Elementwise("flow", SIZE, bound=0.0), ModelError, "a positive bound"),
    "a base that is not real": (
        lambda: ppl.sample("z", dist.Transformed(dist.Gamma(np.ones(SIZE), 1.0), nn.RealNVP("flow", SIZE))),
        SupportError,
        "flow does not act on positive",
    ),
    "a random flow in a plate": (
        lambda: nn.Planar("flow", SIZE, prior=dist.Normal(np.zeros(2), 1.0)),
        ModelError,
        "the distribution of one weight",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str):
    attempt, error, message = MISTAKES[name]

    @ppl.model
    def model():
        attempt()

    with pytest.raises(error, match=message):
        program = model()
        ppl.compile(program, "pyro").log_density({"z": np.zeros(SIZE)})


def test_a_flow_of_another_model_is_refused():
    kept: list[dist.Flow] = []

    @ppl.model
    def first():
        kept.append(nn.RealNVP("flow", SIZE))

    @ppl.model
    def second():
        used(kept[0])

    first()
    with pytest.raises(ScopeError, match="it reads 'flow', which is not declared in this model"):
        second()


@pytest.mark.parametrize("family", [nn.Planar, nn.Radial])
def test_a_flow_without_an_inverse_scores_no_given_values(family: Any):
    @ppl.model
    def model(x):
        flow = family("bend", SIZE)
        with ppl.plate("rows", x):
            ppl.sample("y", dist.Transformed(normal(), flow))

    program = model(X).observe(y=X)
    message = r"site 'y' in model 'model': a (planar|radial) flow has no inverse(.|\n)*nn.RealNVP"
    with pytest.raises(StrategyError, match=message) as error:
        ppl.infer(program, SVI(guide=AutoDelta(), progress=False))
    assert error.value.site == "y" and error.value.declared_at is not None
    with pytest.raises(StrategyError, match=message):
        program.to_source("numpyro")


def test_a_long_vector_is_not_unrolled():
    """One direction of an autoregressive flow goes entry by entry; the other has no limit."""

    @ppl.model
    def model(family: str):
        flow = nn.MAF("flow", 65, [64], layers=1) if family == "MAF" else nn.IAF("flow", 65, [64], layers=1)
        ppl.sample("y", dist.Transformed(normal(65), flow))

    maf, iaf = (ppl.compile(model(family), "pyro") for family in ("MAF", "IAF"))
    y = np.zeros(65)
    expected = -0.5 * 65 * np.log(2 * np.pi)
    assert float(maf.log_density({"y": y})) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(
        StrategyError, match=r"site 'y' in model 'model': it draws one entry after the other.*\n(.|\n)*IAF"
    ):
        maf.simulate(key=maf.backend.key(0))
    assert iaf.simulate(key=iaf.backend.key(0))["y"].shape == (65,)
    with pytest.raises(StrategyError, match=r"site 'y' in model 'model': it scores given values one(.|\n)*nn.MAF"):
        iaf.log_density({"y": y})
    with pytest.raises(StrategyError, match="it scores given values one entry after the other"):
        model("IAF").observe(y=y).to_source("pyro")
