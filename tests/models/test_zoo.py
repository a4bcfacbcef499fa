"""What holds for each model of the zoo: it prints, travels as JSON, compiles, agrees and simulates on both backends."""

import functools

import numpy as np
import pytest

import ppl
from ppl import models
from ppl.language.model import Model
from ppl.transforms.density import simulator
from tests.models.cases import CASES, GUIDES

BACKENDS = ("numpyro", "pyro")


@functools.cache
def program_of(name: str) -> ppl.Program:
    return CASES[name]()


def test_every_model_is_in_a_registry() -> None:
    exported = {name for name in models.__all__ if isinstance(getattr(models, name), Model)}
    assert exported == set(CASES) | set(GUIDES)


@pytest.mark.parametrize("name", [*CASES, *GUIDES])
def test_each_model_is_documented(name: str) -> None:
    assert getattr(models, name).__doc__


@pytest.mark.parametrize("name", CASES)
def test_it_prints(name: str) -> None:
    program = program_of(name)
    text = str(program)
    assert text.startswith(f"{name}(")
    for statement in program.statements:
        # Weights of a network with a prior show as one line, that of the network.
        assert statement.name.split(".")[0] in text
    for plate in program.plates:
        assert f"{'scan' if plate.ordered else 'plate'}('{plate.name}'" in text


@pytest.mark.parametrize("name", CASES)
def test_it_travels_as_json(name: str) -> None:
    program = program_of(name)
    again = ppl.Program.from_json(program.to_json())
    assert again == program
    assert str(again) == str(program)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_its_source_is_python(name: str, backend: str) -> None:
    source = program_of(name).to_source(backend)
    compile(source, name, "exec")
    assert f"import {backend}" in source


@pytest.mark.parametrize(("precision", "allowed"), [("float32", 1e-5), ("float64", 1e-9)])
@pytest.mark.parametrize("name", CASES)
def test_the_backends_agree(name: str, precision: str, allowed: float) -> None:
    """Site by site: the pure functions and the native models of both backends, at shared draws."""
    table = ppl.agreement(program_of(name), precision=precision)
    assert table.difference < allowed, f"\n{table}"


@pytest.mark.parametrize("name", CASES)
def test_equal_noise_gives_equal_draws(name: str) -> None:
    program = program_of(name)
    sides = [ppl.compile(program, backend, precision="float64") for backend in BACKENDS]
    specs = simulator(program).noise
    # Sites that only the libraries' own samplers can draw (Dirichlet, LKJ) are drawn once, and given to both.
    keyed = {spec.site for spec in specs if spec.kind == "key"}
    drawn = sides[1].simulate((3,), key=sides[1].backend.key(0)) if keyed else {}
    values = {site: sides[1].backend.to_numpy(drawn[site]) for site in keyed}
    generator = np.random.default_rng(0)
    noise = {}
    for spec in specs:
        if spec.site not in keyed:
            shape = (3, *(plate.size for plate in spec.plates), *spec.shape)
            noise[spec.name] = generator.normal(size=shape) if spec.kind == "normal" else generator.uniform(size=shape)
    one, two = (side.simulate((3,), noise=noise, values=values) for side in sides)
    assert set(one) == set(two) == (set(program.sites) | set(program.deterministics)) - keyed
    for site in one:
        a, b = (side.backend.to_numpy(draws[site]) for side, draws in zip(sides, (one, two), strict=True))
        assert a.shape == (3, *sides[0].sizes(site))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", GUIDES)
def test_its_guide_fits(name: str) -> None:
    case, build = GUIDES[name]
    guide = build()
    program_of(case).check(guide)
    assert ppl.Program.from_json(guide.to_json()) == guide
