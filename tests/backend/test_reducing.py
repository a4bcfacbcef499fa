"""Sums over some plates, and over lanes, of values that vary over others: what stays keeps its place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

import ppl
from ppl import dist
from ppl.backend.compiled import Compiled
from ppl.program.ops import element, lane_logsumexp, plate_sum
from ppl.program.program import Program
from ppl.program.values import Lane, Value, lift

BACKENDS = ("numpyro", "pyro")
PLATES = "abc"
SIZES = dict(zip(PLATES, (2, 3, 4), strict=True))
SUBSETS = [s for n in range(4) for s in itertools.combinations(PLATES, n)]
RNG = np.random.default_rng(5)


def log_sum(array: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.asarray(special.logsumexp(array, axis=axis))


def nested() -> Program:
    """One site for each subset of three nested plates, with an event axis of five."""

    @ppl.model
    def model():
        def site(names: tuple[str, ...]) -> None:
            ppl.sample("".join(["x", *names]), dist.Normal(0.0, 1.0).expand([5]))

        for names in SUBSETS:
            opened = [ppl.plate(n, size=SIZES[n]) for n in names]
            for plate in opened:
                plate.__enter__()
            site(names)
            for plate in reversed(opened):
                plate.__exit__(None, None, None)

    return model()


def check(program: Program, pairs: list[tuple[Value, np.ndarray]], arrays: dict[str, np.ndarray], backend: str) -> None:
    """Each value, computed by one emitted function, equals its array."""
    side: Compiled = ppl.compile(program, backend, precision="float64")
    emitted = side.emitter().emit("results", {str(i): value for i, (value, _) in enumerate(pairs)})
    function = side.backend.jit(side.load(emitted), "float64")
    found = function({}, side.value_arrays(arrays), {}, {})
    for i, (value, wanted) in enumerate(pairs):
        np.testing.assert_allclose(side.backend.to_numpy(found[str(i)]), wanted, rtol=1e-11, err_msg=repr(value))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lead", [(), (6,)])
@pytest.mark.parametrize("own", SUBSETS[1:], ids="".join)
def test_sums_over_plates(own: tuple[str, ...], lead: tuple[int, ...], backend: str):
    program = nested()
    plates = {p.name: p.plate for p in program.plates}
    names = {n: "".join(["x", *n]) for n in SUBSETS}
    arrays = {x: RNG.normal(size=(*lead, *(SIZES[p] for p in n), 5)) for n, x in names.items()}
    site, array = program.sites[names[own]].value, arrays[names[own]]
    pairs: list[tuple[Value, np.ndarray]] = []
    for summed in SUBSETS[1:]:
        axes = tuple(len(lead) + own.index(p) for p in summed if p in own)
        factor = np.prod([SIZES[p] for p in summed if p not in own])
        value = plate_sum(site, tuple(plates[p] for p in summed))
        wanted = factor * array.sum(axes)
        # What is left lines up with other values.
        rest = names[tuple(p for p in own if p not in summed)]
        pairs += [(value, wanted), (value * program.sites[rest].value, wanted * arrays[rest])]
    check(program, pairs, arrays, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lead", [(), (6,)])
@pytest.mark.parametrize("own", SUBSETS, ids="".join)
def test_sums_over_lanes(own: tuple[str, ...], lead: tuple[int, ...], backend: str):
    """Two lanes, summed out in either order, together and with plates in between."""
    program = nested()
    plates = {p.name: p.plate for p in program.plates}
    name = "".join(["x", *own])
    u, v = RNG.normal(size=(7, 5)), RNG.normal(size=(3, 5))
    first, second = Lane("first", 7), Lane("second", 3)
    value = program.sites[name].value
    wide = value * element(lift(u), first) + element(lift(v), second)
    array = RNG.normal(size=(*lead, *(SIZES[p] for p in own), 5))
    x = array[None, None]
    shape = (1,) * (array.ndim - 1)
    dense = x * u.reshape(7, 1, *shape, 5) + v.reshape(1, 3, *shape, 5)
    pairs: list[tuple[Value, np.ndarray]] = []
    for order in ((first, second), (second, first)):
        pairs.append((lane_logsumexp(lane_logsumexp(wide, order[0]), order[1]), log_sum(dense, axis=(0, 1))))
    for summed in SUBSETS:
        axes = tuple(len(lead) + own.index(p) for p in summed if p in own)
        factor = np.prod([SIZES[p] for p in summed if p not in own], initial=1.0)
        inner = plate_sum(lane_logsumexp(wide, second), tuple(plates[p] for p in summed))
        middle = factor * log_sum(dense, axis=1).sum(tuple(1 + a for a in axes))
        pairs.append((lane_logsumexp(inner, first), log_sum(middle, axis=0)))
    check(program, pairs, {name: array}, backend)
