import numpy as np
import pytest

from ppl.errors import NonFiniteError
from ppl.posterior import weights as weighing


def test_normalised_weights_sum_to_one_and_keep_impossible_draws_at_zero():
    weights = weighing.normalise(np.array([[1000.0, 1000.0 + np.log(3.0)], [-np.inf, 1000.0]]))
    np.testing.assert_allclose(weights, [[0.2, 0.6], [0.0, 0.2]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_cannot_be_normalised_are_refused(bad):
    with pytest.raises(NonFiniteError, match="cannot be normalised"):
        weighing.normalise(np.full(3, bad))


def test_effective_draws():
    assert weighing.effective_draws(np.full(8, 1 / 8)) == pytest.approx(8.0)
    assert weighing.effective_draws(np.array([1.0, 0.0])) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_systematic_resampling_gives_each_draw_its_share_up_to_rounding(seed):
    weights = np.random.default_rng(7).dirichlet(np.ones(20))
    index = weighing.systematic_indices(weights, 20, 1000, seed)
    counts = np.bincount(index, minlength=20)
    assert np.all(np.abs(counts - 1000 * weights) < 1.0)
    assert np.all(np.diff(index) >= 0)


def test_systematic_resampling_never_chooses_an_impossible_draw():
    weights = np.array([0.0, 0.5, 0.0, 0.5, 0.0])
    assert set(weighing.systematic_indices(weights, 5, 7, 0)) == {1, 3}


def test_fewer_equal_draws_are_distinct_and_evenly_spaced():
    index = weighing.systematic_indices(None, 100, 10, 3)
    assert np.all(np.diff(index) == 10)
    np.testing.assert_array_equal(weighing.systematic_indices(None, 100, 100, 3), np.arange(100))


def test_equal_weights_agree_with_numpy():
    draws = np.random.default_rng(0).normal(size=(11, 2, 3))
    equal = np.full(11, 1 / 11)
    np.testing.assert_allclose(weighing.mean(draws, equal), draws.mean(0))
    np.testing.assert_allclose(weighing.std(draws, equal), draws.std(0, ddof=1))
    np.testing.assert_allclose(weighing.std(draws, None), draws.std(0, ddof=1))
    q = [0.0, 0.1, 0.5, 0.73, 1.0]
    np.testing.assert_allclose(weighing.quantile(draws, equal, q), np.quantile(draws, q, axis=0))
    np.testing.assert_allclose(weighing.quantile(draws, equal, 0.3), np.quantile(draws, 0.3, axis=0))


def test_weighted_moments_by_hand():
    draws, weights = np.array([1.0, 2.0, 6.0]), np.array([0.5, 0.3, 0.2])
    assert weighing.mean(draws, weights) == pytest.approx(2.3)
    spread = 0.5 * 1.3**2 + 0.3 * 0.3**2 + 0.2 * 3.7**2
    assert weighing.std(draws, weights) == pytest.approx(np.sqrt(spread / (1 - 0.38)))


def test_weighted_quantiles_find_those_of_the_target():
    # The grid stands for a uniform proposal on (-6, 6), weighted to a standard normal.
    grid = np.linspace(-6.0, 6.0, 20001)
    weights = weighing.normalise(-0.5 * grid**2)
    found = weighing.quantile(grid, weights, [0.025, 0.5, 0.975])
    # They are averages over a window of one effective draw's probability, so wide in the units of the draws:
    window = 1 / weighing.effective_draws(weights) / 0.0584
    np.testing.assert_allclose(found, [-1.959964, 0.0, 1.959964], atol=window)
