"""Parameters that no gradient reaches are refused; those that some gradient reaches are not."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false

import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.errors import StrategyError
from ppl.inference import SVI, AutoNormal
from ppl.language.model import Model
from tests.inference.cases import BACKENDS

X = np.linspace(-1.0, 1.0, 6).reshape(3, 2)


@ppl.model
def model(rows):
    with ppl.plate("rows", rows):
        z = ppl.sample("z", dist.Categorical(probs=np.array([0.2, 0.3, 0.5])))
        ppl.sample("y", dist.Normal(1.0 * z, 1.0))


@ppl.model
def by_argmax(rows):
    net = nn.Linear("net", 2, 3)
    with ppl.plate("rows", rows) as x:
        ppl.sample("z", dist.Categorical(probs=ops.one_hot(ops.argmax(net(x)), 3)))


@ppl.model
def by_rounding(rows):
    level = ppl.param("level", 1.2)
    near = ppl.deterministic("near", ops.round(level))
    with ppl.plate("rows", rows):
        ppl.sample("z", dist.Categorical(logits=near * ops.arange(3)))


@ppl.model
def by_both(rows):
    level = ppl.param("level", 1.2)
    with ppl.plate("rows", rows):
        ppl.sample("z", dist.Categorical(logits=(level - ops.floor(level)) * ops.arange(3)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (by_argmax, "network 'net' only through `argmax`, whose derivative is zero"),
        (by_rounding, "parameter 'level' only through `round`, whose derivative is zero"),
    ],
)
def test_parameters_that_would_never_move_are_refused(guide: Model, message: str, backend: str):
    method = SVI(guide=guide(X), steps=2, progress=False)
    with pytest.raises(StrategyError, match=message) as caught:
        ppl.infer(model(X).observe(y=np.zeros(3)), method, backend=backend)
    assert caught.value.site == "z"
    assert caught.value.declared_at is not None
    assert caught.value.remedy


def test_a_threshold_of_the_model_is_refused():
    @ppl.model
    def steps(rows):
        threshold = ppl.param("threshold", 0.1)
        slope = ppl.sample("slope", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", rows) as x:
            ppl.sample("y", dist.Normal(slope * ops.where(x[0] > threshold, 1.0, 0.0), 1.0))

    with pytest.raises(StrategyError, match="parameter 'threshold' only through `greater`"):
        SVI(guide=AutoNormal()).check(steps(X).observe(y=np.zeros(3)))


def test_a_gradient_that_comes_another_way_is_enough():
    SVI(guide=by_both(X)).check(model(X).observe(y=np.zeros(3)))
