"""Factor analysis and probabilistic principal component analysis, in latent and in marginal form.

An observation is a linear map of a few Gaussian factors, plus a mean, plus noise: of one size in all features (PPCA) or
of a size for each (factor analysis). The latent forms sample the factors, the marginal forms integrate them out.
Loadings, mean and noise are parameters, to be fitted by maximum likelihood.

Sources: M. E. Tipping and C. M. Bishop (1999), Probabilistic principal component analysis, Journal of the Royal
Statistical Society B 61(3); C. M. Bishop (2006), Pattern Recognition and Machine Learning, section 12.2.
"""

import numpy as np

import ppl
from ppl import dist, nn, ops


def linear_parameters(features: int, latent: int, noise: float | np.ndarray):
    """Loadings, mean and noise scale, with the values they start from."""
    loadings = ppl.param("loadings", np.eye(features, latent))
    mean = ppl.param("mean", np.zeros(features))
    return loadings, mean, ppl.param("noise", noise, support=dist.support.positive)


@ppl.model
def ppca(observations, latent: int = 2):
    """Probabilistic PCA, latent form. Observe `x`."""
    loadings, mean, noise = linear_parameters(observations.shape[-1], latent, 1.0)
    with ppl.plate("rows", observations):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]), dims=("factor",))
        ppl.sample("x", dist.Normal(loadings @ z + mean, noise), dims=("feature",))


@ppl.model
def marginal_ppca(observations, latent: int = 2):
    """Probabilistic PCA with the factors integrated out. Observe `x`."""
    features = observations.shape[-1]
    loadings, mean, noise = linear_parameters(features, latent, 1.0)
    covariance = loadings @ loadings.T + noise**2 * ops.eye(features)
    with ppl.plate("rows", observations):
        ppl.sample("x", dist.MultivariateNormal(mean, covariance), dims=("feature",))


@ppl.model
def factor_analysis(observations, latent: int = 2):
    """Factor analysis, latent form: each feature has noise of its own size. Observe `x`."""
    features = observations.shape[-1]
    loadings, mean, noise = linear_parameters(features, latent, np.ones(features))
    with ppl.plate("rows", observations):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]), dims=("factor",))
        ppl.sample("x", dist.Normal(loadings @ z + mean, noise), dims=("feature",))


@ppl.model
def marginal_factor_analysis(observations, latent: int = 2):
    """Factor analysis with the factors integrated out: a low-rank covariance plus a diagonal. Observe `x`."""
    features = observations.shape[-1]
    loadings, mean, noise = linear_parameters(features, latent, np.ones(features))
    with ppl.plate("rows", observations):
        ppl.sample("x", dist.LowRankMultivariateNormal(mean, loadings, noise**2), dims=("feature",))


@ppl.model
def linear_gaussian_guide(observations, latent: int = 2):
    """Guide of the latent forms: a linear map of the observation, and one covariance for all rows.

    The exact posterior has this form, so the evidence lower bound reaches the evidence.
    """
    encode = nn.Linear("encode", observations.shape[-1], latent)
    spread = ppl.param("spread", np.eye(latent), support=dist.support.lower_cholesky)
    with ppl.plate("rows", observations) as x:
        ppl.sample("z", dist.MultivariateNormal(encode(x), scale_tril=spread))


def linear_gaussian_log_evidence(
    observations: np.ndarray, loadings: np.ndarray, mean: np.ndarray, noise: float | np.ndarray
) -> float:
    """Exact log evidence of the observations given the parameters, in nats.

    Args:
        observations: shape (rows, features).
        loadings: shape (features, factors).
        mean: shape (features,).
        noise: standard deviation, one for all features or one for each.
    """
    rows, features = observations.shape
    covariance = loadings @ loadings.T + np.square(noise) * np.eye(features)
    centred = observations - mean
    mahalanobis = np.sum(centred * np.linalg.solve(covariance, centred.T).T)
    return -0.5 * float(rows * (features * np.log(2.0 * np.pi) + np.linalg.slogdet(covariance)[1]) + mahalanobis)


def ppca_maximum_likelihood(observations: np.ndarray, latent: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Loadings, mean and noise scale of greatest likelihood, up to a rotation (Tipping and Bishop, section 3.2).

    Args:
        observations: shape (rows, features).
        latent: number of factors, below the number of features.
    """
    mean = observations.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(observations.T, bias=True))
    noise_variance = values[:-latent].mean()
    # eigh sorts eigenvalues upwards: the principal axes are the last columns.
    loadings = vectors[:, -latent:] * np.sqrt(values[-latent:] - noise_variance)
    return loadings[:, ::-1], mean, float(np.sqrt(noise_variance))
