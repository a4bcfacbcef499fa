"""What a method refuses before it runs, and what it says when numbers stop being finite."""

from __future__ import annotations

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.errors import GuideError, ModelError, NonFiniteError, PlateError, StrategyError, SupportError, UnknownNameError
from ppl.inference import (
    IWELBO,
    NUTS,
    SGD,
    SVI,
    Adam,
    AutoMultivariateNormal,
    AutoNormal,
    ImportanceSampling,
    Plateau,
)
from ppl.inference.gradient import Reparam
from tests.inference.cases import BACKENDS, CASES, X, Y, regression


@ppl.model
def coin():
    b = ppl.sample("b", dist.Bernoulli(0.5))
    ppl.sample("y", dist.Normal(b * 1.0, 0.4))


@ppl.model
def counted():
    n = ppl.sample("n", dist.Poisson(2.0))
    ppl.sample("y", dist.Normal(n * 1.0, 0.4))


@ppl.model
def threshold():
    x = ppl.sample("x", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(ops.where(x > 0.0, 1.0, -1.0), 0.4))


@ppl.model
def with_param():
    m = ppl.param("m", 0.0)
    x = ppl.sample("x", dist.Normal(m, 1.0))
    ppl.sample("y", dist.Normal(x, 1.0))


@ppl.model
def pooled(size: int = 8):
    with ppl.plate("rows", size=size):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(ops.sum(z), 1.0))


@ppl.model
def guide_without_intercept(features):
    ppl.sample("weights", dist.Normal(0.0, 1.0).expand([2]))


OBSERVED_COIN = coin().observe(y=0.98)
FAST = {"steps": 20, "draws": 5, "progress": False}

REFUSALS = {
    "nothing but discrete latents under an automatic guide": (
        OBSERVED_COIN,
        SVI(),
        StrategyError,
        "summed out exactly",
    ),
    "nothing but discrete latents under NUTS": (OBSERVED_COIN, NUTS(), StrategyError, "can be summed out exactly"),
    "count under an automatic guide": (counted().observe(y=0.98), SVI(), StrategyError, r"site 'n'.*discrete"),
    "count under NUTS": (counted().observe(y=0.98), NUTS(), StrategyError, r"site 'n'.*discrete"),
    "discrete guide site": (OBSERVED_COIN, SVI(guide=coin().do(y=0.0)), GuideError, r"'y'|discrete"),
    "comparison under a pathwise gradient": (
        threshold().observe(y=0.2),
        SVI(strategies={"x": Reparam()}),
        StrategyError,
        r"site 'y'.*depends on 'x' through `greater`",
    ),
    "parameter under NUTS": (with_param().observe(y=0.3), NUTS(), StrategyError, r"'m' is a parameter to optimise"),
    "nothing latent": (with_param().observe(x=0.1, y=0.3), NUTS(), StrategyError, "no site is latent"),
    "value leaves a subsampled plate": (
        pooled().observe(y=1.0),
        SVI(batch_size={"rows": 2}),
        StrategyError,
        r"site 'y'.*leaves plate 'rows'",
    ),
    "subsampled plate inside the logarithm": (
        CASES["regression"].build(),
        SVI(objective=IWELBO(4), batch_size=4),
        StrategyError,
        "plate 'rows' is subsampled, but stands inside the logarithm",
    ),
    "latent without a guide site": (
        CASES["regression"].build(),
        SVI(guide=guide_without_intercept(X)),
        GuideError,
        "site 'intercept'.*no site for this latent",
    ),
    "full guide with a subsampled local latent": (
        CASES["factors"].build(),
        SVI(guide=AutoMultivariateNormal(), batch_size=2),
        StrategyError,
        "maps over a computed array",
    ),
    "batch larger than the plate": (CASES["factors"].build(), SVI(batch_size=7), PlateError, "minibatch of 7 rows"),
    "batch of an unknown plate": (
        CASES["factors"].build(),
        SVI(batch_size={"row": 2}),
        UnknownNameError,
        "no plate 'row'.*Did you mean 'rows'",
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", REFUSALS)
def test_refused_before_running(name: str, backend: str) -> None:
    program, method, error, message = REFUSALS[name]
    with pytest.raises(error, match=f"(?s){message}"):
        ppl.infer(program, method, backend=backend)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SVI(steps=0), "positive steps"),
        (lambda: NUTS(chains=0), "positive chains"),
        (lambda: NUTS(target_accept=1.5), "between 0 and 1"),
        (lambda: Adam(-1.0), "learning rate must be positive"),
        (lambda: IWELBO(0), "at least one particle"),
        (lambda: ImportanceSampling(0), "at least one particle"),
    ],
)
def test_impossible_settings(build, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build()


def test_unknown_backend_and_precision() -> None:
    program = CASES["regression"].build()
    with pytest.raises(UnknownNameError, match=r"no backend 'numpyr'(.*\n)*.*Did you mean 'numpyro'"):
        ppl.infer(program, NUTS(), backend="numpyr")
    with pytest.raises(UnknownNameError, match="no precision 'float16'"):
        ppl.infer(program, NUTS(), precision="float16")
    with pytest.raises(ModelError, match="needs a program"):
        ppl.infer(regression, NUTS())  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", BACKENDS)
def test_diverging_fit_names_the_site_and_keeps_the_last_good_state(backend: str) -> None:
    program = CASES["regression"].build()
    method = SVI(guide=AutoNormal(), optimizer=SGD(10.0), **FAST)
    from ppl.backend.compiled import get_backend

    run = method.start(program, get_backend(backend), 0, "float32")
    with pytest.raises(NonFiniteError, match=r"site '(weights|intercept|y)'.*not finite at step \d+") as caught:
        run.finish()
    assert caught.value.site in ("weights", "intercept", "y")
    assert "fed by" in str(caught.value.got)
    for array in run.params().values():
        assert np.isfinite(array).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nuts_without_a_finite_start_names_the_site(backend: str) -> None:
    @ppl.model
    def impossible():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        ppl.factor("never", ops.log(-1.0 - x * x))

    with pytest.raises(NonFiniteError, match=r"site 'never'.*not finite at any of 100 starting points"):
        ppl.infer(impossible(), NUTS(chains=1, draws=5, warmup=5, progress=False), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_plateau_stops_early(backend: str) -> None:
    method = SVI(
        guide=AutoNormal(),
        steps=5000,
        draws=5,
        progress=False,
        plateau=Plateau(window=100, patience=2),
    )
    posterior = ppl.infer(CASES["factors"].build(), method, backend=backend)
    assert posterior.diagnostics["stopped_early"]
    assert posterior.diagnostics["steps"] == len(posterior.diagnostics["objective"]) < 5000


@pytest.mark.parametrize("backend", BACKENDS)
def test_data_argument_observes(backend: str) -> None:
    posterior = ppl.infer(regression(X), ImportanceSampling(100), data={"y": Y}, backend=backend)
    assert set(posterior.program.observed) == {"y"}


def test_chooser_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    from ppl.inference.choose import choose

    assert isinstance(choose(CASES["regression"].build())[0], NUTS)
    method, reason = choose(with_param().observe(y=0.1))
    assert isinstance(method, SVI) and "'m' is optimised" in reason
    assert isinstance(choose(OBSERVED_COIN)[0], ImportanceSampling)
    assert SupportError is not None and capsys.readouterr().out == ""
