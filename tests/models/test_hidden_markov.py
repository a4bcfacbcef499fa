"""Hidden Markov models: published estimates, sums over paths by hand, draws of whole paths, and what letters show."""

import numpy as np
import pytest
import scipy.stats

import ppl
from ppl.inference import SVI, Adam, AutoDelta, Schedule
from ppl.inference.exact import draw_exact
from ppl.models import EARTHQUAKES, LETTERS, poisson_hmm, word_arrays
from tests.budget import assert_mean
from tests.models.cases import categorical_hmm
from tests.models.comparing import BACKENDS, summed_log_density

# Maximum likelihood by number of states: rates, transitions, log likelihood in nats (Zucchini and MacDonald 2009,
# section 3.1 and tables 3.1 and 6.1), rounded as there.
PUBLISHED = {
    2: ([15.472, 26.125], [[0.934, 0.066], [0.128, 0.872]], -342.3183),
    3: ([13.146, 19.721, 29.714], [[0.955, 0.024, 0.021], [0.050, 0.899, 0.051], [0.000, 0.197, 0.803]], -329.4603),
}


def values_of(states: int) -> dict[str, np.ndarray]:
    """The published estimates as values of the model's sites; rows of probabilities are made to sum to one."""
    rates, transitions, _ = PUBLISHED[states]
    rows = np.array(transitions)
    return {"log_rate": np.log(np.array(rates) / 20.0), "transition": rows / rows.sum(1, keepdims=True)}


def earthquakes(states: int) -> ppl.Program:
    return poisson_hmm(len(EARTHQUAKES), states).observe(count=EARTHQUAKES)


def forward_backward(values: dict[str, np.ndarray]) -> np.ndarray:
    """Probability of each state in each year, shape (years, states)."""
    rates, rows = 20.0 * np.exp(values["log_rate"]), values["transition"]
    weights = np.asarray(scipy.stats.poisson.pmf(EARTHQUAKES[:, None], rates))
    ones = np.ones(len(rates))
    forward = [np.linalg.solve(np.eye(len(rates)) - rows.T + 1.0, ones)]
    for w in weights:
        forward.append(forward[-1] @ rows * w)
        forward[-1] /= forward[-1].sum()
    backward = [ones]
    for w in weights[:0:-1]:
        backward.append(rows @ (w * backward[-1]))
        backward[-1] /= backward[-1].sum()
    both = np.array(forward[1:]) * np.array(backward[::-1])
    return both / both.sum(1, keepdims=True)


def test_the_data_are_the_published_ones() -> None:
    """One state: independent counts, whose log likelihood is published too."""
    single = np.sum(scipy.stats.poisson.logpmf(EARTHQUAKES, EARTHQUAKES.mean()))
    assert single == pytest.approx(-391.9189, abs=5e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("states", PUBLISHED)
def test_the_published_likelihood(states: int, backend: str) -> None:
    """At the maximum, so what rounding has taken from the estimates hardly shows."""
    found = summed_log_density(earthquakes(states), values_of(states), backend, "start")
    assert found == pytest.approx(PUBLISHED[states][2], abs=2e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_published_estimates_are_found(backend: str) -> None:
    adam = Adam(0.05, schedule=Schedule(steps=400))
    start = {"log_rate": np.array([-0.5, 0.0, 0.5])}
    method = SVI(guide=AutoDelta(init=start), optimizer=adam, steps=400, draws=1, progress=False)
    draws = ppl.infer(earthquakes(3), method, backend=backend).draws
    rates, transitions, _ = PUBLISHED[3]
    # The prior of the rates pulls them by less than a hundredth. That of the transitions is flat, but an estimate of
    # zero is approached slowly.
    np.testing.assert_allclose(20.0 * np.exp(draws["log_rate"][0, 0]), rates, rtol=0.015)
    np.testing.assert_allclose(draws["transition"][0, 0], transitions, atol=0.025)


def test_paths_are_drawn_with_their_probabilities() -> None:
    side = ppl.compile(earthquakes(3), "pyro", precision="float64")
    count, values = 4000, values_of(3)
    wide = {n: np.broadcast_to(v, (count, *v.shape)) for n, v in values.items()}
    drawn = draw_exact(side, wide, count, {}, seed=3)["state"]
    wanted = forward_backward(values)
    seen = (drawn[..., None] == np.arange(3)).astype(float)
    # The error of a mean is estimated from the draws, which takes some of each kind.
    mixed = (wanted > 0.02) & (wanted < 0.98)
    assert mixed.sum() > 50
    assert_mean(seen[:, mixed], wanted[mixed])
    assert np.all(np.abs(seen.mean(0) - wanted)[~mixed] < 0.03)


@pytest.mark.parametrize("backend", BACKENDS)
def test_words_of_different_lengths(backend: str) -> None:
    """By hand, word by word: a product of one matrix for each letter that the word has."""
    generator = np.random.default_rng(0)
    initial, rows = generator.dirichlet(np.ones(2)), generator.dirichlet(np.ones(2), 2)
    emission = generator.dirichlet(np.ones(26), 2)
    letters, present = word_arrays()
    expected = 0.0
    for word, steps in zip(letters, present, strict=True):
        weights = initial
        for letter in word[steps]:
            weights = weights @ rows * emission[:, letter]
        expected += np.log(weights.sum())
    values = {"initial": initial, "transition": rows, "emission": emission}
    found = summed_log_density(categorical_hmm(), values, backend, "start")
    assert found == pytest.approx(expected, rel=1e-10)


def test_two_states_are_vowels_and_consonants() -> None:
    """What Cave and Neuwirth found: one state shows vowels, the other consonants, and they like to take turns."""
    start = {"transition": np.array([[0.2, 0.8], [0.8, 0.2]])}
    adam = Adam(0.1, schedule=Schedule(steps=300))
    method = SVI(guide=AutoDelta(init_radius=1.0, init=start), optimizer=adam, steps=300, draws=1, progress=False)
    emission = ppl.infer(categorical_hmm(), method).draws["emission"][0, 0]
    vowels = np.sort(emission[:, [LETTERS.index(c) for c in "aeiou"]].sum(1))
    assert vowels[0] < 0.05
    assert vowels[1] > 0.75
