"""How the benchmarks judge: intervals that hold, bounds left open, and programs that are the same."""

from __future__ import annotations

import gc
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.harness import Candidate, Case, Target, Timing, measure, verdict
from benchmarks.judging import LEVEL, LOOKS, decide, interval, ratios
from benchmarks.programs import Program, Ran, fingerprint


@pytest.mark.parametrize("count", [7, 15, 28, 60])
def test_the_interval_misses_the_median_no_more_often_than_it_says(count: int):
    """Exactly: it misses it if k or more values lie beyond an end, and how many lie below the median is binomial."""
    low, high = interval(list(range(count)))
    beyond = int(low) + 1
    assert high == count - beyond
    missed = 2 * sum(math.comb(count, i) for i in range(beyond)) / 2**count
    assert missed <= LEVEL / LOOKS
    # The next narrower interval would not do.
    assert missed + 2 * math.comb(count, beyond) / 2**count > LEVEL / LOOKS


def test_too_few_values_tell_nothing():
    assert interval([1.0] * 6) == (-math.inf, math.inf)
    assert decide([0.5] * 6, 1.0) == "open"


def test_bounds_are_kept_missed_or_open():
    values = [0.9 + 0.01 * i for i in range(15)]
    assert interval(values) == (pytest.approx(0.92), pytest.approx(1.02))
    assert decide(values, 1.02) == "yes"
    assert decide(values, 1.0) == "open"
    assert decide(values, 0.91) == "no"


def timing(name: str, seconds: list[float], **fields) -> Timing:
    return Timing(name, seconds, seconds, **fields)


def test_the_same_program_needs_no_clock():
    slow, quick = [1.1 + 0.01 * i for i in range(15)], [1.0] * 15
    target = Target("a", "b", 1.0)
    assert verdict(target, [timing("a", slow), timing("b", quick)]) == "no"
    assert verdict(target, [timing("a", slow, program="x"), timing("b", quick, program="x")]) == "yes"
    assert verdict(target, [timing("a", slow, program="x"), timing("b", quick, program="y")]) == "no"
    assert verdict(Target("a", "b", 0.5), [timing("a", slow, program="x"), timing("b", quick, program="x")]) == "no"
    assert verdict(target, [timing("a", slow)]) is None
    assert verdict(target, [timing("a", slow), timing("b", [], missing="not here")]) is None


def test_an_open_bound_is_measured_longer(monkeypatch: pytest.MonkeyPatch):
    """Blocks say themselves how long they took; a collection before each would take all the time."""
    monkeypatch.setattr(gc, "collect", lambda: 0)
    counts = {"a": 0, "b": 0}

    def candidate(name: str, seconds: list[float]) -> Candidate:
        def block() -> Ran:
            counts[name] += 1
            return Ran(1, seconds=seconds[counts[name] % len(seconds)])

        return Candidate(name, lambda steps: block, 1)

    def rounds(ours: list[float], limit: float) -> int:
        counts.update(a=0, b=0)
        both = [candidate("a", ours), candidate("b", [1.0])]
        measured = measure(Case("made up", "process", 1, lambda: both, (Target("a", "b", limit),), rounds=8))
        assert len(ratios(measured[0].seconds, measured[1].seconds)) == len(measured[0].seconds)
        return len(measured[0].seconds)

    assert rounds([0.9], 1.0) == 8
    assert rounds([1.1], 1.0) == 8
    assert rounds([0.9, 1.1], 1.0) == 32


def test_who_is_in_no_open_bound_stops(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gc, "collect", lambda: 0)

    def candidate(name: str, seconds: list[float]) -> Candidate:
        ran = iter([Ran(1, seconds=s) for s in [1.0, *seconds * 100]])
        return Candidate(name, lambda steps: lambda: next(ran), 1)

    def candidates() -> list[Candidate]:
        return [
            candidate("ours", [0.9, 1.1]),
            candidate("near", [1.0]),
            candidate("slow", [2.0]),
            candidate("x", [1.0]),
        ]

    bounds = (Target("ours", "near", 1.0), Target("ours", "slow", 1.0))
    measured = measure(Case("made up", "process", 1, candidates, bounds, rounds=8))
    assert [len(t.seconds) for t in measured] == [32, 32, 8, 8]
    assert [verdict(t, measured) for t in bounds] == ["open", "yes"]


def text(function, *arguments) -> str:
    return jax.jit(function).lower(*arguments).compile().as_text() or ""


def test_programs_are_told_apart_by_their_instructions():
    x, y = jnp.ones((4, 3)), jnp.arange(3.0)

    def loop(a, b, scale=2.0):
        return jax.lax.fori_loop(0, 5, lambda i, c: jnp.tanh(c * scale + b), a)

    def renamed(first, second):
        def inner(i, state):
            return jnp.tanh(state * 2.0 + second)

        return jax.lax.fori_loop(0, 5, inner, first)

    own = fingerprint(text(loop, x, y))
    assert fingerprint(text(renamed, x, y)) == own
    assert fingerprint(text(lambda b, a: loop(a, b), y, x)) == own
    others = [
        text(lambda a, b: loop(a, b, 3.0), x, y),
        text(lambda a, b: loop(a, b).T, x, y),
        text(lambda a, b: jnp.sin(loop(a, b)), x, y),
        text(loop, jnp.ones((5, 3)), y),
    ]
    assert len({own, *map(fingerprint, others)}) == len(others) + 1


def test_blocks_tell_their_program():
    block = Program(lambda: Ran(1, np.zeros(1)), lambda: "  %a = f32[] add(%b, %c)\n")
    (measured,) = measure(Case("one", "process", 1, lambda: [Candidate("one", lambda steps: block, 1)], rounds=1))
    assert measured.program == fingerprint("  %x = f32[] add(%y, %z)\n")
