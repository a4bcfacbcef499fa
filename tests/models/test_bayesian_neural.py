"""The Bayesian network predicts the progression of diabetes in patients it has not seen."""

import numpy as np
import pytest

import ppl
from ppl import models
from ppl.inference import SVI, Adam, AutoNormal, Schedule
from tests.budget import sigmas
from tests.models.cases import diabetes
from tests.models.comparing import BACKENDS

TRAINED = 342  # patients; the other 100 are held out


def root_mean_square(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_predicts_unseen_patients(backend: str) -> None:
    X, y = diabetes()
    program = models.bayesian_mlp(X[:TRAINED], hidden=8).observe(y=y[:TRAINED])
    adam = Adam(0.02, schedule=Schedule(steps=1000))
    method = SVI(guide=AutoNormal(), optimizer=adam, steps=1000, draws=500, progress=False)
    posterior = ppl.infer(program, method, backend=backend)
    predicted = posterior.predict(X=X[TRAINED:])
    found = root_mean_square(predicted["mean"].mean(("chain", "draw")).values - y[TRAINED:])
    constant = root_mean_square(y[:TRAINED].mean() - y[TRAINED:])
    design = np.column_stack([np.ones(len(y)), X])
    line = np.linalg.lstsq(design[:TRAINED], y[:TRAINED], rcond=None)[0]
    straight = root_mean_square(design[TRAINED:] @ line - y[TRAINED:])
    # A constant knows nothing. Least squares knows nearly all there is in these data: the network comes close to it.
    assert found < 0.8 * constant
    assert found < 1.05 * straight
    # The predictive distribution is as wide as its errors: its central 90 per cent hold nine in ten patients, up to
    # what a hundred of them can tell.
    low, high = np.quantile(predicted["y"].values[0], [0.05, 0.95], axis=0)
    inside = np.mean((y[TRAINED:] >= low) & (y[TRAINED:] <= high))
    assert abs(inside - 0.9) < sigmas() * np.sqrt(0.9 * 0.1 / 100)
