"""Partial pooling: regressions of several groups that learn from each other.

A group with few rows is pulled towards the mean of all groups, a group with many keeps its own line. Both models are
non-centred: groups differ by standardised offsets, so that samplers do not meet a funnel. Inputs and outcome are
expected to be of about unit scale.

Source: A. Gelman and J. Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models, chapters 12
(radon in the houses of Minnesota's counties) and 13 (varying slopes).
"""

import ppl
from ppl import dist, ops


@ppl.model
def partial_pooling(X, group, groups: int):
    """One line for each group: intercept and slope vary independently of each other. Observe `y`.

    X is one input for each row, `group` the number of the row's group, from 0 to `groups` - 1.
    """
    intercept_mean = ppl.sample("intercept_mean", dist.Normal(0.0, 1.0))
    slope_mean = ppl.sample("slope_mean", dist.Normal(0.0, 1.0))
    intercept_spread = ppl.sample("intercept_spread", dist.HalfNormal(1.0))
    slope_spread = ppl.sample("slope_spread", dist.HalfNormal(1.0))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("groups", size=groups):
        intercept_offset = ppl.sample("intercept_offset", dist.Normal(0.0, 1.0))
        slope_offset = ppl.sample("slope_offset", dist.Normal(0.0, 1.0))
        intercept = ppl.deterministic("intercept", intercept_mean + intercept_spread * intercept_offset)
        slope = ppl.deterministic("slope", slope_mean + slope_spread * slope_offset)
    with ppl.plate("rows", (X, group)) as (x, g):
        ppl.sample("y", dist.Normal(intercept[g] + slope[g] * x, noise))


@ppl.model
def correlated_effects(X, group, groups: int):
    """The same with a correlation: groups of a high intercept may have steep slopes, or flat ones. Observe `y`."""
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0).expand([2]), dims=("coefficient",))
    spread = ppl.sample("spread", dist.HalfNormal(1.0).expand([2]), dims=("coefficient",))
    correlation = ppl.sample("correlation", dist.LKJCholesky(2, 2.0), dims=("coefficient", "factor"))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("groups", size=groups):
        offset = ppl.sample("offset", dist.Normal(0.0, 1.0).expand([2]), dims=("factor",))
        line = ppl.deterministic("line", mean + spread * (correlation @ offset), dims=("coefficient",))
    with ppl.plate("rows", (X, group)) as (x, g):
        features = ops.stack([1.0, x])
        ppl.sample("y", dist.Normal(line[g] @ features, noise))
