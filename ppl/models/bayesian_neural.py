"""Bayesian neural network regression: every weight of the network is an unknown with a prior.

Sources: D. J. C. MacKay (1992), A practical Bayesian framework for backpropagation networks; R. M. Neal (1996),
Bayesian Learning for Neural Networks, section 2.1, for scaling the output by the width.
"""

import ppl
from ppl import dist, nn


@ppl.model
def bayesian_mlp(X, hidden: int = 16):
    """Regression by a network of one hidden layer, for standardised inputs and outcomes. Observe `y`.

    The output is divided by the square root of the width, so that the prior of the function does not grow with it.
    """
    network = nn.MLP("network", [X.shape[-1], hidden, 1], activation="tanh", prior=dist.Normal(0.0, 1.0))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("rows", X) as x:
        mean = ppl.deterministic("mean", network(x)[0] / hidden**0.5)
        ppl.sample("y", dist.Normal(mean, noise))
