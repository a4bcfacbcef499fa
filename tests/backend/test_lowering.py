"""Lowering: on random programs, batched code means what the program says element by element.

The reference is an interpreter that knows no batch axes at all. Leading axes, plates in every arrangement, event ranks,
gathers and contractions meet here in ways that nobody would write down; each of the rules for axes has failed at least
one of these programs when it was wrong.
"""

import itertools
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ppl
from ppl.program.program import Program
from ppl.transforms.density import simulator
from tests.backend.generated import NOISE_FORMS, Generator
from tests.backend.oracle import Oracle

BACKENDS = ("numpyro", "pyro")
LEADS: tuple[tuple[int, ...], ...] = ((), (2,), (2, 3))
TOLERANCE = 1e-9


def examples(count: int):
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(derandomize=True, max_examples=count, deadline=None, suppress_health_check=checks, database=None)


decisions = st.randoms(use_true_random=False)


def numbers(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    return {n: np.asarray(a) for n, a in arrays.items()}


def draws_of(program: Program, lead: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Draws of all sites and deterministic values, by torch, which compiles nothing."""
    side = ppl.compile(program, "pyro", precision="float64")
    return numbers(side.simulate(lead, key=side.backend.key(3), observed=True))


def oracles(program: Program, values: dict[str, np.ndarray], lead: tuple[int, ...]) -> list[Oracle]:
    params = ppl.compile(program, "pyro", precision="float64").params
    points = itertools.product(*(range(n) for n in lead))
    return [Oracle(program, {n: v[at] for n, v in values.items()}, params) for at in points]


def assert_close(found: Any, expected: np.ndarray, what: str) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=what)


def check_densities(program: Program, lead: tuple[int, ...], backends: tuple[str, ...]) -> None:
    draws = draws_of(program, lead)
    values = {n: draws[n] for n in program.latents}
    references = oracles(program, values, lead)
    expected = [r.log_density() for r in references]
    for name, statement in program.deterministics.items():
        exact = [r.over(statement.expression, statement.plates) for r in references]
        assert_close(draws[name], np.reshape(exact, draws[name].shape), name)
    for backend in backends:
        side = ppl.compile(program, backend, precision="float64")
        terms = numbers(side.log_density(values, by_site=True))
        for name, term in terms.items():
            sizes = tuple(p.size for p in program.by_name[name].plates)
            exact = np.reshape([e[name] for e in expected], lead + sizes)
            # A term that depends on no draw has no leading axes.
            assert term.shape in (sizes, lead + sizes), f"{backend} {name}"
            assert_close(np.broadcast_to(term, lead + sizes), exact, f"{backend} {name}")
        total = np.asarray(sum(np.sum([e[n].sum() for n in e]) for e in expected))
        assert_close(np.sum(np.broadcast_to(np.asarray(side.log_density(values)), lead)), total, f"{backend} total")


@examples(60)
@given(decisions)
def test_densities_with_leading_axes_equal_a_loop_without(choose: random.Random):
    check_densities(Generator(choose).program(), choose.choice(LEADS), ("pyro",))


@examples(60)
@given(decisions)
def test_the_libraries_own_densities_agree(choose: random.Random):
    program = Generator(choose).program()
    side = ppl.compile(program, "pyro", precision="float64")
    draws = draws_of(program, ())
    values = {n: draws[n] for n in program.latents}
    (reference,) = oracles(program, values, ())
    native = side.backend.native_log_density(program, side.source, values, side.params, "float64")
    for name, exact in reference.log_density().items():
        assert_close(native[name], exact.sum(), name)


# JAX compiles each program anew, so there are fewer of them.
@examples(8)
@given(decisions)
def test_both_backends_agree_with_leading_axes(choose: random.Random):
    check_densities(Generator(choose).program(), choose.choice(LEADS[1:]), ("numpyro",))


@examples(5)
@given(decisions)
def test_agreement_of_all_four_evaluations(choose: random.Random):
    program = Generator(choose, NOISE_FORMS).program()
    table = ppl.agreement(program, precision="float64", seed=1)
    assert table.difference < TOLERANCE, str(table)


@examples(6)
@given(decisions)
def test_equal_noise_gives_equal_draws(choose: random.Random):
    program = Generator(choose, NOISE_FORMS).program()
    lead = choose.choice(LEADS)
    generator = np.random.default_rng(0)
    noise = {}
    for spec in simulator(program).noise:
        shape = lead + tuple(p.size for p in spec.plates) + spec.shape
        noise[spec.name] = generator.normal(size=shape) if spec.kind == "normal" else generator.uniform(size=shape)
    one, two = (numbers(ppl.compile(program, b, precision="float64").simulate(lead, noise=noise)) for b in BACKENDS)
    assert one.keys() == two.keys()
    for name, statement in {**program.sites, **program.deterministics}.items():
        sizes = tuple(p.size for p in statement.plates) + statement.value.shape
        assert one[name].shape == two[name].shape == lead + sizes
        assert_close(one[name], two[name], name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_over_draws_on_one_backend(backend: str):
    """The same statement without the interpreter: leading axes against calls without them."""
    program = Generator(random.Random(12)).program()
    side = ppl.compile(program, backend, precision="float64")
    draws = draws_of(program, (2, 3))
    values = {n: draws[n] for n in program.latents}
    together = np.broadcast_to(np.asarray(side.log_density(values)), (2, 3))
    for at in itertools.product(range(2), range(3)):
        assert_close(side.log_density({n: v[at] for n, v in values.items()}), together[at], str(at))
