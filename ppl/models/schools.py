"""Eight schools: how much did coaching raise test scores, in eight schools that each ran their own experiment?

The data are the effects estimated in the schools, in points of the test, and the standard errors of these estimates.

Sources: D. B. Rubin (1981), Estimation in parallel randomized experiments, Journal of Educational Statistics 6(4);
A. Gelman et al. (2013), Bayesian Data Analysis, third edition, section 5.5.
"""

import numpy as np

import ppl
from ppl import dist

SCHOOLS = ("A", "B", "C", "D", "E", "F", "G", "H")
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


@ppl.model
def eight_schools(standard_errors=STANDARD_ERRORS):
    """Non-centred form: each school's true effect is the mean plus a standardised offset times the spread.

    Offset and spread are nearly independent in the posterior, so samplers move freely. Observe `effect`.
    """
    mean = ppl.sample("mean", dist.Normal(0.0, 5.0))
    spread = ppl.sample("spread", dist.HalfCauchy(5.0))
    with ppl.plate("schools", standard_errors) as standard_error:
        offset = ppl.sample("offset", dist.Normal(0.0, 1.0))
        true_effect = ppl.deterministic("true_effect", mean + spread * offset)
        ppl.sample("effect", dist.Normal(true_effect, standard_error))


@ppl.model
def eight_schools_centred(standard_errors=STANDARD_ERRORS):
    """Centred form: the same model as one would write it down, with a funnel where the spread is small."""
    mean = ppl.sample("mean", dist.Normal(0.0, 5.0))
    spread = ppl.sample("spread", dist.HalfCauchy(5.0))
    with ppl.plate("schools", standard_errors) as standard_error:
        true_effect = ppl.sample("true_effect", dist.Normal(mean, spread))
        ppl.sample("effect", dist.Normal(true_effect, standard_error))
