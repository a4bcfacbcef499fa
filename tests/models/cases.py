"""The zoo on small real data: name of a model -> a function that builds its observed program.

Entering a model here has it printed, serialised, compiled, compared and simulated on both backends.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
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


def survival_mixture() -> ppl.Program:
    return models.survival_mixture(models.REMISSION_WEEKS, models.RELAPSED, models.TREATED)


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
        ordered_mixture,
        ppca,
        marginal_ppca,
        factor_analysis,
        marginal_factor_analysis,
        bayesian_mlp,
        partial_pooling,
        correlated_effects,
        survival_mixture,
        poisson_hmm,
        categorical_hmm,
        local_level,
        marginal_local_level,
        local_trend,
        predator_prey,
    )
}


# Guides of the zoo: name -> (the case it belongs to, a function that builds it).
GUIDES: dict[str, tuple[str, Callable[[], ppl.Program]]] = {
    "vae_encoder": ("vae", lambda: models.vae_encoder(digits()[:200], latent=4, hidden=32)),
    "cvae_encoder": (
        "cvae",
        lambda: models.cvae_encoder(digits()[:200, :32], digits()[:200, 32:], latent=4, hidden=32),
    ),
    "conv_vae_encoder": (
        "conv_vae",
        lambda: models.conv_vae_encoder(digits()[:50].reshape(-1, 1, 8, 8), latent=4, channels=4),
    ),
    "linear_gaussian_guide": ("ppca", lambda: models.linear_gaussian_guide(wines())),
}
