"""The zoo on small real data: name of a model -> a function that builds its observed program.

Entering a model here has it printed, serialised, compiled, compared and simulated on both backends.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import rotate
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

import ppl
from ppl import models

Array = np.ndarray


def standardised(x: Array) -> Array:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def bundled(load: Any, **settings: Any) -> tuple[Array, Array]:
    """Inputs and outcomes of a data set that comes with scikit-learn."""
    inputs, outcomes = load(return_X_y=True, **settings)
    return np.asarray(inputs), np.asarray(outcomes)


def diabetes() -> tuple[Array, Array]:
    """442 patients: ten standardised measurements, and the standardised progression of the disease a year later."""
    inputs, progression = bundled(load_diabetes, scaled=False)
    return standardised(inputs), standardised(progression)


# Radius, texture, smoothness, concavity, symmetry and fractal dimension; the others are nearly functions of these.
MEASUREMENTS = [0, 1, 4, 6, 8, 9]


def tumours(features: int = 6) -> tuple[Array, Array]:
    """569 tumours: measurements of standard deviation 0.5, and whether the tumour was benign."""
    inputs, benign = bundled(load_breast_cancer)
    return 0.5 * standardised(inputs[:, MEASUREMENTS[:features]]), benign


def patients_by_age() -> tuple[Array, Array, Array]:
    """Body mass index, number of the age group (by decade, from the teens on), progression; both standardised."""
    inputs, progression = bundled(load_diabetes, scaled=False)
    decade = (inputs[:, 0] // 10).astype(int)
    return standardised(inputs[:, 2]), decade - decade.min(), standardised(progression)


def digits() -> Array:
    """1797 binary images of 64 pixels."""
    return (bundled(load_digits)[0] > 7.5).astype(float)


def ink(documents: int) -> Array:
    """Digits as documents, pixels as their words: each of 64 pixels counts the inked ones of 16 finer ones."""
    return bundled(load_digits)[0][:documents].astype(int)


def word_by_word(counts: Array) -> tuple[Array, Array]:
    """The document and the word of each occurrence, from counts of shape (documents, words)."""
    document, word = (np.repeat(index, counts.ravel()) for index in np.indices(counts.shape).reshape(2, -1))
    return document, word


def few_labels(each: int, others: int) -> tuple[Array, Array, Array]:
    """The first digits of each kind with their labels, and the digits that follow these, without."""
    images, labels = digits(), bundled(load_digits)[1]
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == digit)[:each] for digit in range(10)]))
    rest = np.delete(np.arange(len(images)), chosen)[:others]
    return images[chosen], labels[chosen], images[rest]


def nuclei() -> Array:
    """569 tumours, mean of ten measurements of their cell nuclei, standardised, in a random order."""
    inputs, _ = bundled(load_breast_cancer)
    return standardised(np.random.default_rng(0).permutation(inputs[:, :10]))


def flowers() -> Array:
    """150 irises, four standardised measurements."""
    return standardised(bundled(load_iris)[0])


def wines() -> Array:
    """178 wines, 13 standardised measurements."""
    return standardised(bundled(load_wine)[0])


def petals() -> Array:
    """Lengths of 150 petals, standardised."""
    return flowers()[:, 2]


def linear_regression() -> ppl.Program:
    inputs, progression = diabetes()
    return models.linear_regression(inputs).observe(y=progression)


def logistic_regression() -> ppl.Program:
    inputs, benign = tumours()
    return models.logistic_regression(inputs).observe(y=benign)


def eight_schools() -> ppl.Program:
    return models.eight_schools().observe(effect=models.EFFECTS)


def eight_schools_centred() -> ppl.Program:
    return models.eight_schools_centred().observe(effect=models.EFFECTS)


def vae() -> ppl.Program:
    images = digits()[:200]
    return models.vae(images, latent=4, hidden=32).observe(x=images)


def cvae() -> ppl.Program:
    images = digits()[:200]
    return models.cvae(images[:, :32], 32, latent=4, hidden=32).observe(y=images[:, 32:])


def conv_vae() -> ppl.Program:
    images = digits()[:50].reshape(-1, 1, 8, 8)
    return models.conv_vae(images, latent=4, channels=4).observe(x=images)


def gaussian_mixture() -> ppl.Program:
    return models.gaussian_mixture(flowers()).observe(x=flowers())


def factored_mixture() -> ppl.Program:
    return models.factored_mixture(flowers())


def ordered_mixture() -> ppl.Program:
    return models.ordered_mixture(petals()).observe(x=petals())


def ppca() -> ppl.Program:
    return models.ppca(wines()).observe(x=wines())


def marginal_ppca() -> ppl.Program:
    return models.marginal_ppca(wines()).observe(x=wines())


def factor_analysis() -> ppl.Program:
    return models.factor_analysis(wines()).observe(x=wines())


def marginal_factor_analysis() -> ppl.Program:
    return models.marginal_factor_analysis(wines()).observe(x=wines())


def bayesian_mlp() -> ppl.Program:
    inputs, progression = diabetes()
    return models.bayesian_mlp(inputs, hidden=8).observe(y=progression)


def partial_pooling() -> ppl.Program:
    index, group, progression = patients_by_age()
    return models.partial_pooling(index, group, groups=int(group.max()) + 1).observe(y=progression)


def correlated_effects() -> ppl.Program:
    index, group, progression = patients_by_age()
    return models.correlated_effects(index, group, groups=int(group.max()) + 1).observe(y=progression)


def body_and_progression(rows: int = 40) -> tuple[Array, Array]:
    """Body mass index, blood pressure and a serum of some patients, and how the disease went on; standardised."""
    inputs, progression = diabetes()
    return inputs[:rows][:, [2, 3, 8]], progression[:rows]


def gp_regression() -> ppl.Program:
    inputs, progression = body_and_progression()
    return models.gp_regression(inputs).observe(y=progression)


def marginal_gp_regression() -> ppl.Program:
    inputs, progression = body_and_progression()
    return models.marginal_gp_regression(inputs).observe(y=progression)


def few_tumours(rows: int = 40) -> tuple[Array, Array]:
    """Six measurements of some tumours, and whether they were benign."""
    inputs, benign = tumours()
    return inputs[:rows], benign[:rows]


def gp_classification() -> ppl.Program:
    inputs, benign = few_tumours()
    return models.gp_classification(inputs).observe(y=benign)


def inducing_places(inputs: Array, count: int = 12) -> Array:
    """Rows that are spread over the data: those of a k-means clustering's centres."""
    return np.asarray(KMeans(count, random_state=0).fit(inputs).cluster_centers_)


def sparse_gp_classification() -> ppl.Program:
    inputs, benign = tumours(2)
    return models.sparse_gp_classification(inputs, inducing_places(inputs)).observe(y=benign)


def turning_digits(count: int = 20, frames: int = 8) -> tuple[Array, Array]:
    """Threes that turn around: binary images of 64 pixels, shape (count, frames, 64), and the angles in radians."""
    images, labels = bundled(load_digits)
    threes = images[labels == 3][:count].reshape(-1, 8, 8)
    angles = 2.0 * np.pi * np.arange(frames) / frames
    turned = [rotate(threes, np.degrees(a), axes=(1, 2), reshape=False, order=1) for a in angles]
    return (np.stack(turned, axis=1).reshape(len(threes), frames, 64) > 7.5).astype(float), angles


def gp_vae() -> ppl.Program:
    videos, angles = turning_digits()
    return models.gp_vae(videos, angles, hidden=32, period=2.0 * np.pi).observe(x=videos)


def survival_mixture() -> ppl.Program:
    return models.survival_mixture(models.REMISSION_WEEKS, models.RELAPSED, models.TREATED)


def rasch() -> ppl.Program:
    return models.rasch(*models.LSAT_ANSWERS.shape).observe(answer=models.LSAT_ANSWERS)


def two_parameter() -> ppl.Program:
    return models.two_parameter(*models.LSAT_ANSWERS.shape).observe(answer=models.LSAT_ANSWERS)


def answer_patterns() -> ppl.Program:
    program = models.answer_patterns(models.ANSWER_PATTERNS, persons=int(models.PATTERN_COUNTS.sum()))
    return program.observe(count=models.PATTERN_COUNTS)


def lda() -> ppl.Program:
    counts = ink(20)
    document, word = word_by_word(counts)
    return models.lda(document, *counts.shape, topics=4).observe(word=word)


def marginal_lda() -> ppl.Program:
    counts = ink(20)
    return models.marginal_lda(counts.sum(axis=1).astype(float), 64, topics=4).observe(count=counts)


def prod_lda() -> ppl.Program:
    counts = ink(100)
    return models.prod_lda(counts.sum(axis=1).astype(float), 64, topics=5).observe(count=counts)


def ladder_vae() -> ppl.Program:
    images = digits()[:100]
    return models.ladder_vae(images, lower=4, upper=2, hidden=32).observe(x=images)


def vade() -> ppl.Program:
    images = digits()[:100]
    return models.vade(images, clusters=5, latent=4, hidden=32).observe(x=images)


def m2() -> ppl.Program:
    labelled, labels, images = few_labels(2, 80)
    program = models.m2(labelled, images, latent=3, hidden=32)
    return program.observe(labelled_x=labelled, given=labels, guess=labels, x=images)


def categorical_vae() -> ppl.Program:
    images = digits()[:100]
    return models.categorical_vae(images, codes=2, values=4, hidden=32).observe(x=images)


def vq_vae() -> ppl.Program:
    images = digits()[:100]
    return models.vq_vae(images, hidden=32).observe(x=images)


def code_prior() -> ppl.Program:
    rows = np.random.default_rng(0).integers(0, 5, size=(20, 4))
    return models.code_prior(20, entries=5, hidden=8).observe(entry=rows)


def vq_decoder() -> ppl.Program:
    rows = np.random.default_rng(0).integers(0, 16, size=(100, 4))
    return models.vq_decoder(rows, hidden=32).observe(x=digits()[:100])


def poisson_hmm() -> ppl.Program:
    return models.poisson_hmm(len(models.EARTHQUAKES)).observe(count=models.EARTHQUAKES)


def categorical_hmm() -> ppl.Program:
    letters, present = models.word_arrays()
    return models.categorical_hmm(present).observe(symbol=letters)


# Length, centre and scale of the Nile's flow.
FLOW = (len(models.NILE), 900.0, 150.0)


def local_level() -> ppl.Program:
    return models.local_level(*FLOW).observe(y=models.NILE)


def marginal_local_level() -> ppl.Program:
    return models.marginal_local_level(*FLOW).observe(y=models.NILE)


def local_trend() -> ppl.Program:
    return models.local_trend(*FLOW).observe(y=models.NILE)


def predator_prey() -> ppl.Program:
    return models.predator_prey(len(models.PELTS)).observe(pelts=models.PELTS)


def flow_density() -> ppl.Program:
    return models.flow_density(nuclei()).observe(x=nuclei())


def stochastic_volatility() -> ppl.Program:
    returns = models.RETURNS[:60]
    return models.stochastic_volatility(len(returns)).observe(y=returns)


def noncentred_volatility() -> ppl.Program:
    returns = models.RETURNS[:60]
    return models.noncentred_volatility(len(returns)).observe(y=returns)


# What an autoregression starts from: growth in four quarters.
LAGS = 4


def switching_autoregression() -> ppl.Program:
    first, rest = models.GROWTH[:LAGS], models.GROWTH[LAGS:]
    return models.switching_autoregression(first, len(rest)).observe(y=rest)


def switching_level() -> ppl.Program:
    return models.switching_level(*FLOW).observe(y=models.NILE)


def rows_of_digits() -> Array:
    """Binary images as sequences of eight rows, shape (1797, 8, 8)."""
    return digits().reshape(-1, 8, 8)


def deep_markov() -> ppl.Program:
    images = rows_of_digits()[:20]
    return models.deep_markov(images, latent=4, hidden=16).observe(x=images)


CASES: dict[str, Callable[[], ppl.Program]] = {
    function.__name__: function
    for function in (
        linear_regression,
        logistic_regression,
        eight_schools,
        eight_schools_centred,
        vae,
        cvae,
        conv_vae,
        gaussian_mixture,
        factored_mixture,
        flow_density,
        ordered_mixture,
        ppca,
        marginal_ppca,
        factor_analysis,
        marginal_factor_analysis,
        bayesian_mlp,
        partial_pooling,
        correlated_effects,
        survival_mixture,
        rasch,
        two_parameter,
        answer_patterns,
        lda,
        marginal_lda,
        prod_lda,
        ladder_vae,
        vade,
        m2,
        categorical_vae,
        vq_vae,
        code_prior,
        vq_decoder,
        gp_regression,
        marginal_gp_regression,
        gp_classification,
        sparse_gp_classification,
        gp_vae,
        poisson_hmm,
        categorical_hmm,
        local_level,
        marginal_local_level,
        local_trend,
        predator_prey,
        switching_autoregression,
        switching_level,
        stochastic_volatility,
        noncentred_volatility,
        deep_markov,
    )
}


# Guides of the zoo: name -> (the case it belongs to, a function that builds it).
GUIDES: dict[str, tuple[str, Callable[[], ppl.Program]]] = {
    "backward_guide": ("local_level", lambda: models.backward_guide(*FLOW)),
    "backward_reader": ("deep_markov", lambda: models.backward_reader(rows_of_digits()[:20], latent=4, hidden=16)),
    "vae_encoder": ("vae", lambda: models.vae_encoder(digits()[:200], latent=4, hidden=32)),
    "flow_encoder": ("vae", lambda: models.flow_encoder(digits()[:200], latent=4, hidden=32)),
    "cvae_encoder": (
        "cvae",
        lambda: models.cvae_encoder(digits()[:200, :32], digits()[:200, 32:], latent=4, hidden=32),
    ),
    "conv_vae_encoder": (
        "conv_vae",
        lambda: models.conv_vae_encoder(digits()[:50].reshape(-1, 1, 8, 8), latent=4, channels=4),
    ),
    "ladder_encoder": ("ladder_vae", lambda: models.ladder_encoder(digits()[:100], lower=4, upper=2, hidden=32)),
    "prod_lda_encoder": ("prod_lda", lambda: models.prod_lda_encoder(ink(100), topics=5)),
    "m2_encoder": ("m2", lambda: models.m2_encoder(*few_labels(2, 80), latent=3, hidden=32)),
    "categorical_encoder": (
        "categorical_vae",
        lambda: models.categorical_encoder(digits()[:100], codes=2, values=4, hidden=32),
    ),
    "vq_encoder": ("vq_vae", lambda: models.vq_encoder(digits()[:100], hidden=32)),
    "gp_vae_encoder": ("gp_vae", lambda: models.gp_vae_encoder(turning_digits()[0], hidden=32)),
    "sparse_gp_guide": (
        "sparse_gp_classification",
        lambda: models.sparse_gp_guide(tumours(2)[0], inducing_places(tumours(2)[0])),
    ),
    "linear_gaussian_guide": ("ppca", lambda: models.linear_gaussian_guide(wines())),
}
