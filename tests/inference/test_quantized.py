"""Vector-quantised latents: gradients by hand, what trains what, the two stages of a VQ-VAE, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, models, ops
from ppl.backend.compiled import get_backend
from ppl.errors import ModelError, PPLError, ShapeError, StrategyError
from ppl.inference import (
    ELBO,
    IWELBO,
    NUTS,
    SGD,
    SVI,
    Adam,
    AutoDelta,
    AutoNormal,
    BetaELBO,
    Enumerate,
    Reinforce,
    VectorQuantized,
)
from tests.inference.cases import BACKENDS
from tests.inference.test_execution import evaluator
from tests.models.cases import digits

QUANTIZED = VectorQuantized(0.3, 0.7, bias="straight-through")
TABLE = np.array([[0.5, -1.0], [2.0, 0.3], [-0.7, 1.2]])
WEIGHT = np.random.default_rng(2).normal(size=(4, 2))
DATA = np.random.default_rng(3).normal(size=(6, 4))
PLACES = np.random.default_rng(4).normal(size=(6, 2))
SHIFT = np.array([0.1, -0.2])
LOGITS = np.array([0.2, 0.0, -0.5])


@ppl.model
def coded(places):
    table = ppl.param("codebook", TABLE)
    weight, logits = ppl.param("weight", WEIGHT), ppl.param("logits", LOGITS)
    with ppl.plate("rows", places):
        code = ppl.sample("code", dist.Codebook(table, logits))
        ppl.sample("x", dist.Normal(weight @ code, 1.0))


@ppl.model
def coder(places):
    table, shift = ppl.param("codebook", TABLE), ppl.param("shift", SHIFT)
    with ppl.plate("rows", places) as place:
        ppl.sample("code", dist.Nearest(place + shift, table))


PROGRAM = coded(PLACES).observe(x=DATA)


def by_hand(rows: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """The objective, and the gradient of the objective with the two terms of the source, row by row."""
    output = PLACES[rows] + SHIFT
    which = np.square(output[:, None] - TABLE).sum(-1).argmin(-1)
    row = TABLE[which]
    miss = DATA[rows] - row @ WEIGHT.T
    log_prior = LOGITS - np.log(np.exp(LOGITS).sum())
    value = -0.5 * (miss**2).sum() - 0.5 * miss.size * np.log(2 * np.pi) + log_prior[which].sum()
    counts = np.eye(3)[which]
    return value, {
        "weight": miss.T @ row,
        "logits": (counts - np.exp(log_prior)).sum(0),
        # The decoder's gradient at the row, handed to the output; and the commitment.
        "shift": (miss @ WEIGHT - 2 * 0.3 * (output - row)).sum(0),
        # Every row moves towards the outputs that have chosen it, and by nothing else.
        "codebook": 2 * 0.7 * counts.T @ output - 2 * 0.7 * counts.sum(0)[:, None] * TABLE,
    }


def fit_of(backend: str, **settings: Any) -> Any:
    method = SVI(**{"guide": coder(PLACES), "strategies": {"code": QUANTIZED}, "progress": False, **settings})
    return method.start(PROGRAM, get_backend(backend), 0, "float64")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("objective", [ELBO(), ELBO(analytic_kl=True), ELBO(3), IWELBO(3), BetaELBO(1.0)])
def test_gradients_are_those_computed_by_hand(backend: str, objective: Any) -> None:
    run = fit_of(backend, objective=objective)
    loss, grads = evaluator(run)({}, {})
    value, wanted = by_hand(np.arange(6))
    assert -loss == pytest.approx(value, rel=1e-10)
    for name, gradient in wanted.items():
        np.testing.assert_allclose(-grads[name], gradient, rtol=1e-9, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_scale_all_terms_alike(backend: str) -> None:
    rows = np.array([4, 1])
    loss, grads = evaluator(fit_of(backend, batch_size=2))({}, {"rows": rows})
    value, wanted = by_hand(rows)
    assert -loss == pytest.approx(3.0 * value, rel=1e-10)
    for name, gradient in wanted.items():
        np.testing.assert_allclose(-grads[name], 3.0 * gradient, rtol=1e-9, atol=1e-10, err_msg=name)


def test_the_bias_is_named() -> None:
    report = str(SVI(guide=coder(PLACES), strategies={"code": QUANTIZED}).check(PROGRAM))
    assert "unbiased: no, because of bias='straight-through', which was asked for" in report


def test_rows_that_nobody_chooses_stay_where_they_are() -> None:
    table = np.vstack([TABLE, [[50.0, 50.0]]])
    params = {"codebook": table}

    @ppl.model
    def more(places):
        rows = ppl.param("codebook", table)
        with ppl.plate("rows", places):
            code = ppl.sample("code", dist.Codebook(rows, ops.zeros(4)))
            ppl.sample("x", dist.Normal(WEIGHT @ code, 1.0))

    @ppl.model
    def more_coder(places):
        rows = ppl.param("codebook", table)
        with ppl.plate("rows", places) as place:
            ppl.sample("code", dist.Nearest(place, rows))

    method = SVI(
        guide=more_coder(PLACES), strategies={"code": QUANTIZED}, optimizer=SGD(1e-2), steps=3, draws=2, progress=False
    )
    fit = ppl.infer(more(PLACES).observe(x=DATA), method)
    np.testing.assert_array_equal(fit.params["codebook"][3], params["codebook"][3])
    assert not np.allclose(fit.params["codebook"][:3], TABLE)
    # Draws of the posterior are rows of the fitted table.
    drawn = np.asarray(fit.draws["code"]).reshape(-1, 2)
    assert set(map(tuple, drawn)) <= set(map(tuple, fit.params["codebook"].astype(drawn.dtype)))


# --- the two stages of a VQ-VAE --------------------------------------------------------------------------------------

IMAGES = digits()[:600]
SIZES = {"positions": 4, "entries": 8, "features": 3, "hidden": 32}


def describing(program: ppl.Program, params: Any, backend: str) -> float:
    """Log density of the observed site an image, in nats."""
    compiled = ppl.compile(program, backend)
    terms = compiled.log_density({}, {k: params[k] for k in compiled.params}, by_site=True)
    return float(np.mean(np.asarray(terms["x"])))


@pytest.fixture(scope="module", params=BACKENDS)
def first_stage(request: Any) -> tuple[str, ppl.Posterior]:
    method = SVI(
        guide=models.vq_encoder(IMAGES, **SIZES),
        strategies={"code": VectorQuantized(bias="straight-through")},
        optimizer=Adam(5e-3),
        steps=400,
        batch_size=100,
        draws=1,
        progress=False,
    )
    program = models.vq_vae(IMAGES, **SIZES).observe(x=IMAGES)
    return request.param, ppl.infer(program, method, backend=request.param)


def test_a_vq_vae_trains_and_its_prior_is_learned_in_a_second_stage(first_stage: tuple[str, ppl.Posterior]) -> None:
    backend, fit = first_stage
    codes = np.asarray(fit.draws["code"])[0, 0]
    rows = models.entries_of(codes, fit.params["codebook"])
    np.testing.assert_allclose(fit.params["codebook"][rows], codes, rtol=1e-5, atol=1e-6)
    assert len(np.unique(rows)) >= 6
    # What the codes say about the images: far more than what all images have in common.
    decoded = models.vq_decoder(rows, entries=8, features=3, hidden=32).observe(x=IMAGES)
    mean = np.clip(IMAGES.mean(0), 1e-3, 1 - 1e-3)
    common = (IMAGES * np.log(mean) + (1 - IMAGES) * np.log1p(-mean)).sum(1).mean()
    assert describing(decoded, fit.params, backend) > common + 3.0
    prior = models.code_prior(len(rows), entries=8, hidden=16).observe(entry=rows)
    learned = ppl.infer(
        prior, SVI(guide=AutoDelta(), optimizer=Adam(0.02), steps=150, draws=1, progress=False), backend=backend
    )
    each = np.asarray(learned.diagnostics["objective"])[-1] / len(rows)
    counts = np.stack([np.bincount(rows[:, i], minlength=8) for i in range(4)]) / len(rows)
    separate = (counts * np.log(np.where(counts > 0, counts, 1.0))).sum()
    # Better than the uniform prior of the first stage, and than positions that know nothing of one another.
    assert each > separate + 0.2 > 4 * np.log(1 / 8)
    # New images: rows from the second stage, pixels from the first.
    new = ppl.simulate(models.code_prior(20, entries=8, hidden=16), 1, seed=1, backend=backend, params=learned.params)
    fresh = np.asarray(new["entry"])[0].astype(int)
    assert fresh.shape == (20, 4)
    decoder = models.vq_decoder(fresh, entries=8, features=3, hidden=32)
    drawn = ppl.simulate(decoder, 1, seed=1, backend=backend, params={k: fit.params[k] for k in decoded_names(decoder)})
    assert np.asarray(drawn["x"])[0].shape == (20, 64)


def decoded_names(program: ppl.Program) -> list[str]:
    return list(ppl.compile(program, "numpyro").params)


# --- what is refused -------------------------------------------------------------------------------------------------


def checked(**settings: Any) -> Any:
    return SVI(**{"guide": coder(PLACES), "progress": False, **settings}).check(PROGRAM)


REFUSED: dict[str, tuple[Any, type[PPLError], str]] = {
    "no bias": (lambda: VectorQuantized(), StrategyError, 'bias="straight-through"'),
    "another bias": (lambda: VectorQuantized(bias="relaxation"), StrategyError, "gradients pass a choice"),
    "a weight below zero": (
        lambda: VectorQuantized(-0.1, bias="straight-through"),
        ModelError,
        "weights from zero up",
    ),
    "no strategy": (lambda: checked(), StrategyError, r"VectorQuantized\(bias=\"straight-through\"\)"),
    "a sum over rows": (lambda: checked(strategies={"code": Enumerate()}), StrategyError, "no finite list of values"),
    "a score": (lambda: checked(strategies={"code": Reinforce()}), StrategyError, "density has no gradient"),
    "an automatic guide": (lambda: checked(guide=AutoNormal()), StrategyError, "it is discrete"),
    "NUTS": (lambda: ppl.infer(PROGRAM, NUTS(chains=1, draws=2)), StrategyError, "it is discrete"),
    "a table of tables": (lambda: dist.Codebook(np.zeros((2, 3, 4)), np.zeros(3)), ShapeError, "codebook is one table"),
    "a weight too few": (lambda: dist.Codebook(TABLE, np.zeros(2)), ShapeError, "every row has one weight"),
    "features that differ": (lambda: dist.Nearest(np.zeros(3), TABLE), ShapeError, "as many features"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make()


def test_a_guide_with_another_codebook_is_refused() -> None:
    @ppl.model
    def other(places):
        rows = ppl.param("another", TABLE)
        with ppl.plate("rows", places) as place:
            ppl.sample("code", dist.Nearest(place, rows))

    with pytest.raises(PPLError, match="support"):
        checked(guide=other(PLACES), strategies={"code": QUANTIZED})


def test_another_site_is_not_quantised() -> None:
    @ppl.model
    def plain():
        ppl.sample("z", dist.Normal(0.0, 1.0))

    with pytest.raises(StrategyError, match=r"Normal does not say which vector.*dist\.Nearest"):
        SVI(guide=plain(), strategies={"z": QUANTIZED}).check(plain())
