"""Data with missing elements: what stands in for them, and that it is the exact conditional distribution."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import ppl
from ppl import dist, ops
from ppl.errors import DataError, ShapeError, StrategyError
from ppl.inference import SVI, Adam, AutoMultivariateNormal, AutoNormal, ImportanceSampling
from tests.backend.test_lowering import BACKENDS, assert_close, numbers
from tests.budget import assert_mean
from tests.inference.test_chains import total_and_gradient
from tests.models.comparing import gaussian_log_density

RNG = np.random.default_rng(23)
NAN = np.nan


def masked(values: Any, hidden: list[int]) -> np.ma.MaskedArray:
    """Data of which some elements are missing."""
    return np.ma.masked_array(values, np.array(hidden, dtype=bool))


def density(program: ppl.Program, values: dict[str, Any], backend: str) -> dict[str, np.ndarray]:
    side = ppl.compile(program, backend, precision="float64")
    return numbers(side.log_density({n: np.asarray(v) for n, v in values.items()}, by_site=True))


def total(program: ppl.Program, values: dict[str, Any], backend: str) -> float:
    side = ppl.compile(program, backend, precision="float64")
    return float(np.asarray(side.log_density({n: np.asarray(v) for n, v in values.items()})))


# --- summed out -------------------------------------------------------------------------------------------------------


@ppl.model
def rows(count: int = 5):
    mu = ppl.sample("mu", dist.Normal(0.0, 2.0))
    with ppl.plate("rows", size=count):
        ppl.sample("y", dist.Normal(mu, 1.0))
        ppl.sample("n", dist.Poisson(ops.exp(mu)))
        ppl.sample("v", dist.Normal(mu, 1.0).expand([2]))
        ppl.sample("s", dist.Dirichlet(np.ones(3)))


Y = np.array([0.3, NAN, 1.1, -0.2, NAN])
N = masked([1, 0, 2, 7, 1], [0, 1, 0, 0, 1])
V = np.array([[0.1, NAN], [0.2, 0.3], [NAN, NAN], [0.5, 0.1], [NAN, 1.0]])
S = np.where(np.arange(5)[:, None] == 2, NAN, RNG.dirichlet(np.ones(3), 5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_missing_elements_that_nothing_reads_are_left_out(backend: str):
    program = rows().observe(y=Y, n=N, v=V, s=S)
    assert set(program.latents) == {"mu"}
    found = density(program, {"mu": 0.4}, backend)
    assert_close(found["y"], np.where(np.isnan(Y), 0.0, stats.norm.logpdf(np.nan_to_num(Y), 0.4)), "y")
    known = ~np.ma.getmaskarray(N)
    assert_close(found["n"], np.where(known, stats.poisson.logpmf(N.data, np.exp(0.4)), 0.0), "n")
    each = np.where(np.isnan(V), 0.0, stats.norm.logpdf(np.nan_to_num(V), 0.4))
    assert_close(found["v"], each.sum(-1), "v")
    assert_close(found["s"], np.where(np.isnan(S[:, 0]), 0.0, np.log(2.0)), "s")


def test_the_text_says_what_becomes_of_them():
    text = str(rows().observe(y=Y, n=N, v=V, s=S))
    assert "y ~ Normal(mu, 1.0)  [observed]  [2 of 5 missing, summed out]" in text
    assert "v ~ Normal(mu, 1.0).expand([2])  [observed]  [4 of 10 missing, summed out]" in text
    assert "s ~ Dirichlet([1.0, 1.0, 1.0])  [observed]  [1 of 5 missing, summed out]" in text
    assert "missing," not in str(rows().observe(y=np.zeros(5)))


def test_masks_and_nan_mean_the_same():
    one, two = rows().observe(y=Y), rows().observe(y=np.ma.masked_array(np.nan_to_num(Y, nan=1e9), mask=np.isnan(Y)))
    assert one == two
    for name, array in one.data.items():
        np.testing.assert_array_equal(array, two.data[name])
    # What the mask hides is not looked at: it may lie outside the support, or be infinite.
    hidden = masked([1, -5, 2, 7, 1], [0, 1, 0, 0, 1])
    assert rows().observe(n=hidden) == rows().observe(n=N)
    assert rows().observe(y=masked([0.0, np.inf, 1.0, 2.0, 3.0], [0, 1, 0, 0, 0])).observed
    # Counts with gaps come as real numbers, as pandas has them.
    assert rows().observe(n=np.array([1.0, NAN, 2.0, 7.0, NAN])) == rows().observe(n=N)
    # A mask that hides nothing is no mask.
    assert rows().observe(y=np.ma.masked_array(np.zeros(5), mask=False)) == rows().observe(y=np.zeros(5))


COVARIANCE = np.array([[1.0, 0.4, -0.2], [0.4, 2.0, 0.3], [-0.2, 0.3, 0.5]])


@ppl.model
def vectors(count: int = 4):
    mu = ppl.sample("mu", dist.Normal(0.0, 1.0).expand([3]))
    with ppl.plate("rows", size=count):
        ppl.sample("x", dist.MultivariateNormal(mu, covariance_matrix=COVARIANCE))


@pytest.mark.parametrize("backend", BACKENDS)
def test_parts_of_normal_vectors_have_their_marginal_density(backend: str):
    x = RNG.normal(size=(4, 3))
    x[0, 1] = x[1, [0, 2]] = x[2] = NAN
    program, mu = vectors().observe(x=x), np.array([0.1, -0.3, 0.2])
    assert "[6 of 12 missing, summed out]" in str(program)
    found = density(program, {"mu": mu}, backend)["x"]
    for row, value in zip(x, found, strict=True):
        known = ~np.isnan(row)
        within = COVARIANCE[np.ix_(known, known)]
        wanted = gaussian_log_density(row[known], mu[known], within) if known.any() else 0.0
        assert value == pytest.approx(wanted, rel=1e-9, abs=1e-9)


# --- imputed ----------------------------------------------------------------------------------------------------------


@ppl.model
def covariate(count: int = 6):
    """A regression on an input that is modelled itself, because some of it is missing."""
    mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", size=count):
        x = ppl.sample("x", dist.Normal(mu, 0.8))
        ppl.sample("y", dist.Normal(slope * x, 0.5))


X = np.array([0.5, NAN, -1.2, NAN, 0.9, 0.1])
OUT = np.array([0.6, 1.3, -1.0, -0.4, 1.1, 0.2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_missing_elements_that_others_read_are_latent(backend: str):
    program = covariate().observe(x=X, y=OUT)
    assert list(program.latents) == ["x.missing", "mu", "slope"]
    assert program.parents("x") == ("mu", "x.missing")
    assert "x.missing: the 2 missing elements  [imputed]" in str(program)
    assert "x ~ Normal(mu, 0.8)  [observed]  [2 of 6 missing, imputed]" in str(program)
    free = np.array([[0.7, -0.3], [0.0, 2.0]])
    found = density(program, {"mu": [0.2, 0.1], "slope": [1.1, 0.9], "x.missing": free}, backend)
    for i, (mu, slope) in enumerate([(0.2, 1.1), (0.1, 0.9)]):
        x = X.copy()
        x[[1, 3]] = free[i]
        assert_close(found["x"][i], stats.norm.logpdf(x, mu, 0.8), "x")
        assert_close(found["y"][i], stats.norm.logpdf(OUT, slope * x, 0.5), "y")
        assert_close(np.broadcast_to(found["x.missing"], (2, 2))[i], np.zeros(2), "x.missing")


def test_the_density_of_missing_elements_is_the_gaussian_conditional():
    """With the slope held fixed all is jointly normal: differences of the density are those of the conditional."""
    program = covariate().do(slope=1.2).observe(x=X, y=OUT)
    # mu, the two missing elements, given the rest: by the precision matrix of the joint density.
    precision, shift = np.zeros((3, 3)), np.zeros(3)
    precision[0, 0] = 1.0 + 6 / 0.64
    shift[0] = np.nansum(X) / 0.64
    for j, row in enumerate((1, 3), start=1):
        precision[j, j] = 1 / 0.64 + 1.44 / 0.25
        precision[0, j] = precision[j, 0] = -1 / 0.64
        shift[j] = 1.2 * OUT[row] / 0.25
    exact = stats.multivariate_normal(np.linalg.solve(precision, shift), np.linalg.inv(precision))  # pyright: ignore
    points = RNG.normal(size=(4, 3))
    side = ppl.compile(program, "pyro", precision="float64")
    found = np.asarray(side.log_density({"mu": points[:, 0], "x.missing": points[:, 1:]}))
    assert_close(found - found[0], exact.logpdf(points) - exact.logpdf(points[0]), "density")
    # The normal guide reaches it exactly.
    method = SVI(guide=AutoMultivariateNormal(), optimizer=Adam(0.05), steps=10, draws=10, progress=False)
    fit = ppl.infer(program, method, backend="pyro")
    assert fit.draws["x.missing"].shape == (1, 10, 2)


@ppl.model
def walk(length: int = 12):
    def step(previous, t):
        return ppl.sample("y", dist.Normal(0.8 * previous, 0.5))

    ppl.scan("time", step, init=1.0, length=length)


PATH = np.array([0.9, 1.3, NAN, NAN, 0.7, 0.2, NAN, -0.5, -0.9, NAN, 0.1, NAN])


def path_conditional() -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the gaps of the walk, given the rest."""
    lags = np.eye(12) - 0.8 * np.eye(12, k=-1)
    precision, first = lags.T @ lags / 0.25, lags.T @ np.r_[0.8, np.zeros(11)] / 0.25
    gaps = np.isnan(PATH)
    within = precision[np.ix_(gaps, gaps)]
    shift = first[gaps] - precision[np.ix_(gaps, ~gaps)] @ PATH[~gaps]
    return np.linalg.solve(within, shift), np.linalg.inv(within)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gaps_of_a_series_that_feeds_back(backend: str):
    program = walk().observe(y=PATH)
    assert "[5 of 12 missing, imputed]" in str(program)
    mean, covariance = path_conditional()
    points = RNG.normal(size=(3, 5))
    side = ppl.compile(program, backend, precision="float64")
    found = np.asarray(side.log_density({"y.missing": points}))
    wanted = gaussian_log_density(points, mean, covariance)
    assert_close(found - found[0], wanted - wanted[0], "differences of the density")
    # All of it is normal, so what is left over is the evidence of the known elements.
    lags = np.eye(12) - 0.8 * np.eye(12, k=-1)
    start = np.linalg.solve(lags, np.r_[0.8, np.zeros(11)])
    joint = 0.25 * np.linalg.inv(lags.T @ lags)
    known = ~np.isnan(PATH)
    evidence = gaussian_log_density(PATH[known], start[known], joint[np.ix_(known, known)])
    assert_close(found - wanted, np.full(3, evidence), "evidence")


def test_positive_elements_stay_positive():
    @ppl.model
    def model():
        with ppl.plate("rows", size=4):
            x = ppl.sample("x", dist.LogNormal(0.0, 1.0))
            ppl.sample("y", dist.Poisson(x))

    program = model().observe(x=np.array([0.5, NAN, 2.0, NAN]), y=np.array([0, 1, 2, 4]))
    assert str(program.sites["x.missing"].dist.support) == str(program.sites["x"].dist.support)
    fits = [
        ppl.infer(program, SVI(guide=AutoNormal(), steps=50, draws=50, progress=False), backend=b) for b in BACKENDS
    ]
    for fit in fits:
        assert fit.draws["x.missing"].shape == (1, 50, 2)
        assert (fit.draws["x.missing"] > 0.0).all()


def test_whole_shares_are_imputed_as_shares():
    @ppl.model
    def model():
        with ppl.plate("rows", size=3):
            s = ppl.sample("s", dist.Dirichlet(np.full(3, 2.0)))
            ppl.sample("y", dist.Normal(s[0], 0.1))

    shares = np.array([[0.2, 0.3, 0.5], [NAN, NAN, NAN], [0.6, 0.2, 0.2]])
    program = model().observe(s=shares, y=np.array([0.2, 0.7, 0.6]))
    assert program.sites["s.missing"].dist.event_shape == (3,)
    free = np.array([[0.6, 0.3, 0.1]])
    for backend in BACKENDS:
        found = density(program, {"s.missing": free}, backend)
        filled = np.where(np.isnan(shares), free, shares)
        assert_close(found["s"], [stats.dirichlet.logpdf(row, np.full(3, 2.0)) for row in filled], "s")
        assert_close(found["y"], stats.norm.logpdf([0.2, 0.7, 0.6], filled[:, 0], 0.1), "y")


def test_single_numbers_of_vectors_that_others_read():
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]])

    @ppl.model
    def model():
        with ppl.plate("rows", size=3):
            x = ppl.sample("x", dist.MultivariateNormal(np.zeros(2), covariance_matrix=covariance))
            ppl.sample("y", dist.Normal(ops.sum(x), 0.5))

    x = np.array([[0.1, NAN], [NAN, NAN], [0.3, 0.4]])
    program = model().observe(x=x, y=np.zeros(3))
    assert "[3 of 6 missing, imputed]" in str(program)
    free = np.array([1.0, 2.0, 3.0])
    filled = np.array([[0.1, 1.0], [2.0, 3.0], [0.3, 0.4]])
    for backend in BACKENDS:
        found = density(program, {"x.missing": free}, backend)
        assert_close(found["x"], gaussian_log_density(filled, np.zeros(2), covariance), "x")
        assert_close(found["y"], stats.norm.logpdf(0.0, filled.sum(-1), 0.5), "y")


# --- enumerated -------------------------------------------------------------------------------------------------------


@ppl.model
def labelled(count: int = 4):
    mean = ppl.sample("mean", dist.Normal(0.0, 2.0).expand([3]))
    with ppl.plate("rows", size=count):
        z = ppl.sample("z", dist.Categorical(probs=np.array([0.2, 0.3, 0.5])))
        ppl.sample("y", dist.Normal(mean[z], 0.7))


LABELS = masked([0, 2, 1, 0], [0, 1, 0, 1])
POINTS = np.array([-0.5, 1.9, 0.4, 2.2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_missing_labels_are_summed_out_by_their_values(backend: str):
    program = labelled().observe(z=LABELS, y=POINTS)
    assert "z ~ Categorical(probs=[0.2, 0.3, 0.5])  [2 of 4 missing, summed out by their values]" in str(program)
    mean = np.array([-0.4, 0.3, 2.1])
    found, grads = total_and_gradient(program, {"mean": mean}, backend)
    each = np.log([0.2, 0.3, 0.5]) + stats.norm.logpdf(POINTS[:, None], mean, 0.7)
    known = ~np.ma.getmaskarray(LABELS)
    rowwise = np.asarray(logsumexp(each, axis=-1))
    rowwise[known] = each[known, LABELS.data[known]]
    assert found == pytest.approx(rowwise.sum() + stats.norm.logpdf(mean, 0.0, 2.0).sum(), rel=1e-10)
    weights = np.exp(each - logsumexp(each, axis=-1, keepdims=True))
    weights[known] = np.eye(3)[LABELS.data[known]]
    slope = (weights * (POINTS[:, None] - mean) / 0.49).sum(0) - mean / 4.0
    np.testing.assert_allclose(grads["mean"], slope, rtol=1e-9)


def test_draws_keep_the_known_labels():
    program = labelled().do(mean=np.array([-0.4, 0.3, 2.1])).observe(z=LABELS, y=POINTS)
    fits = [ppl.infer(program, ImportanceSampling(2000), backend=b) for b in BACKENDS]
    np.testing.assert_array_equal(fits[0].draws["z"], fits[1].draws["z"])
    z = fits[0].draws["z"][0]
    assert (z[:, [0, 2]] == [0, 1]).all()
    each = np.log([0.2, 0.3, 0.5]) + stats.norm.logpdf(POINTS[:, None], np.array([-0.4, 0.3, 2.1]), 0.7)
    wanted = np.exp(each - logsumexp(each, axis=-1, keepdims=True))
    for row in (1, 3):
        often = wanted[row] > 0.01
        assert_mean((z[:, row, None] == np.arange(3))[:, often] + 0.0, wanted[row][often])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_chain_of_which_some_states_are_known(backend: str):
    """Paths that contradict what is known have no weight; the gradient is finite all the same."""
    moves = np.array([[0.8, 0.2], [0.3, 0.7]])

    @ppl.model
    def model():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))

        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=ops.asarray(moves)[previous]))
            ppl.sample("y", dist.Normal(mean * z, 0.7))
            return z

        ppl.scan("time", step, init=0, length=5)

    y = np.array([0.1, 1.2, 0.8, -0.3, 1.5])
    program = model().observe(z=masked([0, 1, 0, 0, 1], [1, 0, 1, 1, 0]), y=y)
    found, grads = total_and_gradient(program, {"mean": 1.1}, backend)
    log, slope = [], []
    for path in np.ndindex(2, 2, 2, 2, 2):
        if path[1] == 1 and path[4] == 1:
            z = np.array(path)
            log.append(np.log(moves[np.r_[0, z[:-1]], z]).sum() + stats.norm.logpdf(y, 1.1 * z, 0.7).sum())
            slope.append((z * (y - 1.1 * z) / 0.49).sum())
    assert found == pytest.approx(logsumexp(log) + stats.norm.logpdf(1.1), rel=1e-10)
    weights = np.exp(log - logsumexp(log))
    assert grads["mean"] == pytest.approx(weights @ slope - 1.1, rel=1e-9)


# --- refused ----------------------------------------------------------------------------------------------------------


def test_all_missing_is_refused():
    with pytest.raises(DataError, match=r"site 'y' .*all of its data is missing") as caught:
        rows().observe(y=np.full(5, NAN))
    assert "Leave the site out of observe" in (caught.value.remedy or "")
    assert caught.value.declared_at is not None


def test_parts_of_shares_are_refused():
    part = RNG.dirichlet(np.ones(3), 5)
    part[1, 0] = NAN
    with pytest.raises(DataError, match="imputed: single numbers of one draw are missing") as caught:
        rows().observe(s=part)
    assert caught.value.site == "s"
    assert "1 of 15 missing" in (caught.value.got or "")


def test_elements_whose_bounds_depend_on_unknowns_are_refused():
    @ppl.model
    def model():
        top = ppl.sample("top", dist.HalfNormal(1.0))
        with ppl.plate("rows", size=3):
            x = ppl.sample("x", dist.Uniform(0.0, top))
            ppl.sample("y", dist.Normal(x, 1.0))

    with pytest.raises(DataError, match="its support depends on other unknowns") as caught:
        model().observe(x=np.array([0.1, NAN, 0.2]), y=np.zeros(3))
    assert caught.value.site == "x"


def test_data_of_the_wrong_shape_stays_refused():
    with pytest.raises(ShapeError, match="does not fit its plates"):
        rows().observe(y=np.array([0.1, NAN]))


def test_inputs_with_gaps_stay_refused():
    @ppl.model
    def model(x):
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(row, 1.0))

    with pytest.raises(DataError, match="is a masked array"):
        model(masked(np.zeros(3), [0, 1, 0]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_counts_without_bound_that_others_read_need_a_guide(backend: str):
    @ppl.model
    def model():
        rate = ppl.sample("rate", dist.Gamma(2.0, 1.0))

        def step(n, t):
            return ppl.sample("n", dist.Poisson(rate + 0.5 * n))

        ppl.scan("time", step, init=1, length=4)

    program = model().observe(n=masked([1, 2, 3, 1], [0, 1, 0, 0]))
    with pytest.raises(StrategyError, match=r"site 'n\.missing' .*it is discrete"):
        ppl.infer(program, SVI(guide=AutoNormal(), steps=2, progress=False), backend=backend)


def test_the_prior_is_no_proposal_for_missing_elements():
    with pytest.raises(StrategyError, match=r"site 'x\.missing' .*no prior of their own") as caught:
        ppl.infer(covariate().observe(x=X, y=OUT), ImportanceSampling(10))
    assert "Pass a guide" in (caught.value.remedy or "")


# --- transforms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        rows().observe(y=Y, n=N, v=V),
        covariate().observe(x=X, y=OUT),
        labelled().observe(z=LABELS, y=POINTS),
        walk().observe(y=PATH),
    ],
    ids=["summed", "imputed", "enumerated", "a series"],
)
def test_json_and_agreement(program: ppl.Program):
    again = ppl.Program.from_json(program.to_json(), program.data)
    assert again == program
    assert [line.split("#")[0].rstrip() for line in str(again).splitlines()] == [
        line.split("#")[0].rstrip() for line in str(program).splitlines()
    ]
    table = ppl.agreement(program, precision="float64", seed=1)
    assert table.difference < 1e-9, str(table)


def test_observing_again_forgets_the_gaps():
    whole = np.nan_to_num(X)
    once = covariate().observe(x=X, y=OUT)
    assert once.observe(x=whole) == covariate().observe(y=OUT, x=whole)
    assert once.observe(x=whole).data.keys() == {"x", "y"}
    other = np.where(np.arange(6) == 5, NAN, whole)
    assert once.observe(x=other) == covariate().observe(x=other, y=OUT)
    named = labelled().observe(z=LABELS, y=POINTS)
    assert named.observe(z=LABELS.data) == labelled().observe(y=POINTS, z=LABELS.data)
    assert named.observe(z=LABELS.data).observed.keys() == {"z", "y"}


@pytest.mark.parametrize(
    ("make", "site", "value"),
    [
        (lambda: rows().observe(y=Y), "y", 0.5),
        (lambda: covariate().observe(x=X), "x", 1.5),
        (lambda: labelled().observe(z=LABELS), "z", 2),
    ],
    ids=["summed", "imputed", "enumerated"],
)
def test_setting_a_site_forgets_its_gaps(make: Any, site: str, value: Any):
    done = make().do(**{site: value})
    plain = {"y": rows, "x": covariate, "z": labelled}[site]()
    assert done == plain.do(**{site: value})
    assert not done.data
    assert not done.inputs
    assert [p.name for p in done.plates] == ["rows"]


def test_binding_new_rows_drops_the_gaps_of_the_old_ones():
    @ppl.model
    def model(u):
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", u) as row:
            x = ppl.sample("x", dist.Normal(mu + row, 0.8))
            ppl.sample("y", dist.Normal(x, 0.5))

    bound = model(np.zeros(6)).observe(x=X, y=OUT).bind(u=np.ones(4))
    assert bound == model(np.ones(4))
    assert bound.data.keys() == {"u"}
    same = model(np.zeros(6)).observe(x=X, y=OUT).bind(u=np.zeros(6))
    assert same == model(np.zeros(6)).observe(x=X, y=OUT)
