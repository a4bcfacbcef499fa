"""The mistakes of the README's table, as a user would make them."""

from collections.abc import Callable

import ppl
from ppl import dist
from ppl.inference import SVI


@ppl.model
def total():
    x = ppl.sample("x", dist.Normal(0.0, 1.0))
    y = ppl.sample("y", dist.Normal(0.0, 1.0))
    ppl.sample("sum", dist.Normal(x + y, 0.1))


@ppl.model
def spread():
    scale = ppl.sample("scale", dist.HalfNormal(1.0))
    ppl.sample("y", dist.Normal(scale, 0.5))


@ppl.model
def coin():
    side = ppl.sample("side", dist.Bernoulli(probs=0.5))
    ppl.sample("y", dist.Normal(side, 0.4))


@ppl.model
def without_y():
    ppl.sample("x", dist.Normal(ppl.param("mean", 0.0), 1.0))


@ppl.model
def with_sum():
    ppl.sample("x", dist.Normal(ppl.param("mean", 0.0), 1.0))
    ppl.sample("y", dist.Normal(0.0, 1.0))
    ppl.sample("sum", dist.Normal(0.0, 1.0))


@ppl.model
def with_more():
    ppl.sample("x", dist.Normal(ppl.param("mean", 0.0), 1.0))
    ppl.sample("y", dist.Normal(0.0, 1.0))
    ppl.sample("w", dist.Normal(0.0, 1.0))


@ppl.model
def on_the_line():
    ppl.sample("scale", dist.Normal(ppl.param("mean", 0.5), 1.0))


@ppl.model
def which_side():
    ppl.sample("side", dist.Bernoulli(probs=ppl.param("p", 0.5, support=dist.support.unit_interval)))


def fit(program: ppl.Program, guide: ppl.Program) -> ppl.Posterior:
    """A short fit, on the assumption that it starts at all."""
    return ppl.infer(program, SVI(guide=guide, steps=1, draws=1, progress=False))


MISTAKES: dict[str, Callable[[], object]] = {
    "MISSING": lambda: fit(total().observe(sum=4.0), without_y()),
    "SUPPORT": lambda: fit(spread().observe(y=0.0), on_the_line()),
    "OBSERVED": lambda: fit(total().observe(sum=4.0), with_sum().observe(sum=4.0)),
    "EXTRA": lambda: fit(total().observe(sum=4.0), with_more()),
}
