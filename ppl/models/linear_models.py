"""Linear and logistic regression with weakly informative priors.

Both expect inputs on a common scale, as their sources do. For the linear model divide inputs and outcome, after
centring, by their standard deviations; for the logistic model divide the inputs by twice theirs.

Sources: A. Gelman, J. Hill and A. Vehtari (2020), Regression and Other Stories, section 9.5 (linear);
A. Gelman, A. Jakulin, M. G. Pittau and Y.-S. Su (2008), A weakly informative default prior distribution for logistic
and other regression models, Annals of Applied Statistics 2(4) (logistic).
"""

import ppl
from ppl import dist


@ppl.model
def linear_regression(X):
    """Linear regression: X has one standardised row of inputs for each standardised outcome `y`."""
    intercept = ppl.sample("intercept", dist.Normal(0.0, 2.5))
    slopes = ppl.sample("slopes", dist.Normal(0.0, 2.5).expand([X.shape[-1]]), dims=("feature",))
    noise = ppl.sample("noise", dist.Exponential(1.0))
    with ppl.plate("rows", X) as x:
        ppl.sample("y", dist.Normal(intercept + x @ slopes, noise))


@ppl.model
def logistic_regression(X):
    """Logistic regression: X has one row of inputs, of standard deviation 0.5, for each label `y` (0 or 1).

    The Cauchy priors allow an occasional large slope, and keep slopes finite where the classes can be separated.
    """
    intercept = ppl.sample("intercept", dist.Cauchy(0.0, 10.0))
    slopes = ppl.sample("slopes", dist.Cauchy(0.0, 2.5).expand([X.shape[-1]]), dims=("feature",))
    with ppl.plate("rows", X) as x:
        ppl.sample("y", dist.Bernoulli(logits=intercept + x @ slopes))
