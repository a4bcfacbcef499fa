"""`ppl.external`: the user's own functions, with any leading axes, on both backends, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import ppl
from ppl import dist, ops
from ppl.errors import DtypeError, GuideError, ModelError, NameClashError, ShapeError, UnsupportedByBackend
from ppl.inference import NUTS, SVI, AutoNormal
from ppl.program.program import Program

NUMBERS = np.random.default_rng(2)
BACKENDS = ("numpyro", "pyro")
ROWS, GROUPS = NUMBERS.normal(size=(4, 3)), NUMBERS.normal(size=2)


def in_torch(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    assert x.ndim == 1 and a.ndim == 0
    return torch.stack([torch.sin(a * x).sum(), a * x[0]])


def in_jax(x: Any, a: Any) -> Any:
    assert x.ndim == 1 and a.ndim == 0
    return jnp.stack([jnp.sin(a * x).sum(), a * x[0]])


def rows_in_torch(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    # A loop over rows, as a solver that cannot be mapped would need one.
    assert x.ndim == 2 and a.ndim == 1
    return torch.stack([in_torch(row, b) for row, b in zip(x, a, strict=True)])


def rows_in_jax(x: Any, a: Any) -> Any:
    assert x.ndim == 2 and a.ndim == 1
    return jnp.stack([in_jax(row, b) for row, b in zip(x, a, strict=True)])


def exactly(x: np.ndarray, a: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(a[..., None] * x).sum(-1), a * x[..., 0]], -1)


def program_of(**settings: Any) -> Program:
    """An unknown number, rows, and groups inside of them: elements with leading axes of every kind."""
    functions = {"torch": in_torch, "jax": in_jax, "shape": 2} | settings

    @ppl.model
    def model(rows, groups):
        wave = ppl.external("wave", **functions)
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        ppl.sample("alone", dist.Normal(wave(rows[0], a), 1.0))
        with ppl.plate("rows", rows) as x:
            ppl.sample("y", dist.Normal(wave(x, a), 1.0))
            with ppl.plate("groups", groups) as g:
                ppl.sample("z", dist.Normal(wave(x, a + g), 1.0))

    return model(ROWS, GROUPS)


def normal(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return -0.5 * (x - mean) ** 2 - 0.5 * np.log(2 * np.pi)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batched", [False, True], ids=["mapped", "batched"])
def test_every_element_is_given_to_the_function(batched: bool, backend: str):
    own = {"torch": rows_in_torch, "jax": rows_in_jax, "batched": True} if batched else {}
    side = ppl.compile(program_of(**own), backend, precision="float64")
    lead = (2, 3)
    values = {n: NUMBERS.normal(size=lead + side.sizes(n)) for n in ("a", "alone", "y", "z")}
    a = values["a"]
    exact = normal(a, np.zeros(lead))
    exact = exact + normal(values["alone"], exactly(ROWS[0], a)).sum(-1)
    exact = exact + normal(values["y"], exactly(ROWS, a[..., None])).sum((-1, -2))
    inner = exactly(ROWS[:, None], a[..., None, None] + GROUPS)
    exact = exact + normal(values["z"], inner).sum((-1, -2, -3))
    np.testing.assert_allclose(np.asarray(side.log_density(values)), exact, rtol=1e-12)


def test_pure_and_native_functions_agree():
    program = program_of()
    assert ppl.agreement(program, precision="float64").difference < 1e-9
    assert 'wave_network = networks["wave"]  # your own function' in program.to_source("pyro")
    assert "wave = external('wave')" in str(program)
    assert "y ~ Normal(wave(rows[rows], a), 1.0)" in str(program) or "wave(x, a)" in str(program)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_go_through_it(backend: str):
    """The posterior of a coefficient that only a user's function knows is that of linear regression."""
    x = np.linspace(-1.0, 1.0, 20)
    y = 1.5 * x

    @ppl.model
    def line(x):
        times = ppl.external("times", torch=lambda x, a: x * a, jax=lambda x, a: x * a)
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(times(row, a), 0.5))

    program = line(x).observe(y=y)
    fit = ppl.infer(program, SVI(guide=AutoNormal(), steps=800), backend=backend, seed=1)
    precision = 1.0 + (x**2).sum() / 0.25
    mean = (x * y).sum() / 0.25 / precision
    # Far inside one posterior standard deviation; a gradient that stops at the function leaves the mean at 0.
    assert abs(float(fit.mean("a")) - mean) < 0.5 / np.sqrt(precision)


def test_a_function_has_no_weights_that_a_sampler_would_miss():
    program = program_of().observe(alone=np.zeros(2), y=np.zeros((4, 2)), z=np.zeros((4, 2, 2)))
    assert not program.networks["wave"].trained
    fit = ppl.infer(program, NUTS(chains=1, draws=5, warmup=5), backend="pyro")
    assert fit["a"].shape == (1, 5)


def test_a_fit_with_a_function_survives_a_file(tmp_path: Path):
    program = program_of().observe(alone=np.zeros(2), y=np.zeros((4, 2)), z=np.zeros((4, 2, 2)))
    fit = ppl.infer(program, SVI(guide=AutoNormal(), steps=3), backend="pyro")
    fit.save(tmp_path / "fit.credo")
    again = ppl.Posterior.load(tmp_path / "fit.credo", modules={"wave": {"torch": in_torch, "jax": in_jax}})
    np.testing.assert_array_equal(again["a"], fit["a"])
    moved = again.to_backend("numpyro")
    one, two = (np.asarray(f.log_likelihood["y"]) for f in (fit, moved))
    np.testing.assert_allclose(one, two, rtol=1e-4)


@pytest.mark.parametrize(("backend", "given"), [("pyro", "jax"), ("numpyro", "torch")])
def test_a_backend_without_a_function_refuses(backend: str, given: str):
    program = program_of(**{"torch": None, "jax": None} | {given: {"torch": in_torch, "jax": in_jax}[given]})
    with pytest.raises(UnsupportedByBackend, match="external 'wave' is not supported") as caught:
        ppl.compile(program, backend)
    assert caught.value.remedy is not None and given in ("torch", "jax")
    with pytest.raises(UnsupportedByBackend, match=r"external 'wave'(.*\n)*.*function"):
        program.to_source(backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_shape_is_found_when_compiling(backend: str):
    with pytest.raises(ShapeError, match="does not give what was declared") as caught:
        ppl.compile(program_of(shape=3), backend)
    error = caught.value
    assert error.expected == "float[3] for one element, as declared" and error.got == "float[2]"
    assert error.declared_at is not None and error.declared_at.file == __file__
    line = Path(__file__).read_text().splitlines()[error.declared_at.line - 1]
    assert "ppl.external(" in line
    with pytest.raises(ShapeError, match="does not give what was declared") as caught:
        ppl.compile(program_of(dtype="int"), backend)
    assert caught.value.got == "float[2]"


def test_a_function_that_fails_on_its_elements_is_named_when_compiling():
    with pytest.raises(ShapeError, match="external 'wave': its jax function") as caught:
        ppl.compile(program_of(jax=lambda x, a: jnp.reshape(x, (2,))), "numpyro")
    assert "TypeError" in str(caught.value.got)


def test_torch_finds_at_the_first_call_what_it_cannot_try_without_data():
    def looks(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return torch.tensor(np.asarray(x.detach())) * 1.0

    side = ppl.compile(program_of(torch=lambda x, a: looks(x[0], a[0]), batched=True), "pyro")
    with pytest.raises(ShapeError, match="does not give what was declared"):
        side.log_density({"a": 0.0, "alone": np.zeros(2), "y": np.zeros((4, 2)), "z": np.zeros((4, 2, 2))})


def test_a_program_with_a_function_survives_a_file():
    program = program_of()
    again = Program.from_json(program.to_json())
    assert again.networks["wave"].spec == program.networks["wave"].spec
    assert str(again) == str(program)


@pytest.mark.parametrize("same", [True, False])
def test_model_and_guide_mean_one_function_by_one_name(same: bool):
    @ppl.model
    def model():
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(ppl.external("f", torch=twice, jax=twice)(z), 1.0))

    @ppl.model
    def guide():
        f = ppl.external("f", torch=twice if same else thrice, jax=twice)
        ppl.sample("z", dist.Normal(f(ppl.param("mean", 0.5)), 1.0))

    program = model().observe(y=1.0)
    if same:
        program.check(guide())
    else:
        with pytest.raises(GuideError, match=r"network 'f' is external.*thrice.*in the guide"):
            program.check(guide())


def thrice(x: Any) -> Any:
    return 3.0 * x


def twice(x: Any) -> Any:
    return 2.0 * x


def call_with_other_shapes() -> None:
    f = ppl.external("f", torch=twice, jax=twice, shape=2)
    f(ops.zeros(2))
    f(ops.zeros(3))


def two_of_one_name() -> None:
    ppl.external("f", torch=twice)(ops.zeros(()))
    ppl.external("f", jax=twice)(ops.zeros(()))


MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: ppl.external("f"), ModelError, "needs a function for at least one backend"),
    (lambda: ppl.external("f", torch=twice, dtype="double"), DtypeError, "no kind of number 'double'"),  # type: ignore[arg-type]
    (lambda: ppl.external("f", torch=twice)(), ModelError, "called without arguments"),
    (call_with_other_shapes, ShapeError, "elements of other shapes than before"),
    (two_of_one_name, NameClashError, "this name is already taken"),
]


@pytest.mark.parametrize(("attempt", "error", "message"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_mistakes_are_named(attempt: Callable[[], Any], error: type[Exception], message: str):
    @ppl.model
    def model():
        attempt()

    with pytest.raises(error, match=message):
        model()
