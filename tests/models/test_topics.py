"""Topic models on digits, whose ink is counted: one posterior in two forms, and bounds that others reach."""

from typing import Any

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from sklearn.decomposition import LatentDirichletAllocation

import ppl
from ppl import models
from ppl.inference import ELBO, SVI, Adam, AutoNormal, Schedule
from ppl.inference.exact import draw_exact
from tests.budget import assert_mean, sigmas
from tests.models.cases import ink, lda, marginal_lda, word_by_word
from tests.models.comparing import BACKENDS, summed_log_density

Array = np.ndarray
TOPICS = 8


def of_the_lengths(counts: Array) -> float:
    """What the density of counts, with Poisson lengths, has more than that of the words in their order, in nats."""
    length = counts.sum(axis=1)
    return float(np.sum(length * np.log(length) - length) - np.sum(gammaln(counts + 1.0)))


def some_topics(documents: int, topics: int) -> dict[str, Array]:
    generator = np.random.default_rng(4)
    return {
        "words": generator.dirichlet(np.full(64, 0.5), size=topics),
        "share": generator.dirichlet(np.full(topics, 0.5), size=documents),
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_forms_of_lda_are_one_posterior(backend: str) -> None:
    """The sum over topics by inference is the average of topics by hand, and both are numpy's."""
    counts, values = ink(20), some_topics(20, 4)
    by_word = summed_log_density(lda(), values, backend, "topic_of")
    by_count = summed_log_density(marginal_lda(), values, backend, "count")
    expected = np.sum(counts * np.log(values["share"] @ values["words"]))
    assert by_word == pytest.approx(expected, rel=1e-10)
    assert by_count - of_the_lengths(counts) == pytest.approx(expected, rel=1e-10)


def test_topics_of_words_are_drawn_with_their_probabilities() -> None:
    values, draws = some_topics(20, 4), 2000
    document, word = word_by_word(ink(20))
    wide = {n: np.broadcast_to(v, (draws, *v.shape)) for n, v in values.items()}
    some = slice(0, 40)
    program = models.lda(document[some], 20, 64, topics=4).observe(word=word[some])
    drawn = draw_exact(ppl.compile(program, "pyro", precision="float64"), wide, draws, {}, seed=3)["topic_of"]
    joint = np.log(values["share"][document[some]]) + np.log(values["words"][:, word[some]]).T
    wanted = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    # The error of a mean is estimated from the draws, which takes some of each kind.
    mixed = (wanted > 0.02) & (wanted < 0.98)
    assert mixed.sum() > 20
    assert_mean((drawn[..., None] == np.arange(4)).astype(float)[:, mixed], wanted[mixed])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_bound_of_lda_is_above_that_of_scikit_learn(backend: str) -> None:
    """Same documents, same priors: with the topics of words summed out, less is left to approximate."""
    counts = ink(60)
    settings: Any = {"doc_topic_prior": 0.5, "topic_word_prior": 0.5, "random_state": 0}
    theirs = LatentDirichletAllocation(TOPICS, max_iter=100, **settings).fit(counts).score(counts)
    program = models.marginal_lda(counts.sum(axis=1).astype(float), 64, topics=TOPICS).observe(count=counts)
    adam = Adam(0.05, schedule=Schedule(steps=800))
    method = SVI(guide=AutoNormal(), optimizer=adam, steps=800, draws=1, progress=False)
    last = ppl.infer(program, method, backend=backend).diagnostics["objective"][-100:] - of_the_lengths(counts)
    assert last.mean() - sigmas() * last.std(ddof=1) / np.sqrt(len(last)) > theirs


@pytest.mark.parametrize("backend", BACKENDS)
def test_products_of_topics_describe_digits_they_have_not_seen(backend: str) -> None:
    """Better than one distribution of ink for all digits, which is what a model without topics has."""
    train, test = ink(700)[:500], ink(700)[500:]

    def lengths(counts: Array) -> Array:
        return counts.sum(axis=1).astype(float)

    guide = models.prod_lda_encoder(train, topics=TOPICS)
    objective = ELBO(analytic_kl=True)
    method = SVI(objective, guide, Adam(5e-3), steps=600, batch_size=100, draws=1, progress=False)
    fit = ppl.infer(models.prod_lda(lengths(train), 64, topics=TOPICS).observe(count=train), method, backend=backend)
    bound = fit.bound({"length": lengths(test), "count": test}, {"count": test}, particles=20)
    each = (float(bound.sum()) - of_the_lengths(test)) / test.sum()
    share = train.sum(axis=0) + 0.5
    without = float(np.sum(test @ np.log(share / share.sum()))) / test.sum()
    # In nats a unit of ink, of which a digit has about 300; latent Dirichlet allocation gains about 0.15.
    assert each > without + 0.1
