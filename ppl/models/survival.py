"""Survival times in several unknown groups, cut by the end of the study.

The data are weeks in remission of 42 children with acute leukaemia, half of them treated with 6-mercaptopurine; where
no relapse was seen, the time is that of the last visit.

Sources: E. J. Freireich et al. (1963), The effect of 6-mercaptopurine on the duration of steroid-induced remissions in
acute leukemia, Blood 21(6), table as in D. R. Cox (1972), Regression models and life-tables; for the mixture,
G. J. McLachlan and D. Peel (2000), Finite Mixture Models, section 10.
"""

import numpy as np

import ppl
from ppl import dist, ops

_TREATED = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
_PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
REMISSION_WEEKS = np.array([*_TREATED, *_PLACEBO], dtype=float)
# A relapse was seen in the first nine of the treated, and in all of the others.
RELAPSED = np.array([i < 9 or i >= 21 for i in range(42)])
TREATED = np.array([1] * 21 + [0] * 21)


@ppl.model
def survival_mixture(weeks, relapsed, treated, groups: int = 2):
    """Mixture of Weibull lifetimes; treatment shifts the odds of the groups. All data are inputs.

    A subject counts with the density of its time if the relapse was seen, else with the probability of outliving it.
    The group of each subject is summed out, and drawn with the posterior.

    Args:
        weeks: time of the relapse or of the last visit, shape (subjects,).
        relapsed: whether the relapse was seen, booleans of shape (subjects,).
        treated: 0 or 1, shape (subjects,).
        groups: number of groups, numbered by rising log scale.
    """
    base = dist.Normal(0.0, 1.0).expand([groups])
    log_scale = ppl.sample("log_scale", dist.Transformed(base, dist.Ordered()), dims=("group",))
    shape = ppl.sample("shape", dist.LogNormal(0.0, 0.5).expand([groups]), dims=("group",))
    logits = ppl.sample("logits", dist.Normal(0.0, 1.0).expand([2, groups]), dims=("arm", "group"))
    with ppl.plate("subjects", (weeks, relapsed, treated)) as (time, seen, arm):
        group = ppl.sample("group_of", dist.Categorical(logits=logits[arm]))
        lifetime = dist.Weibull(10.0 * ops.exp(log_scale[group]), shape[group])
        ppl.factor("lifetime", ops.where(seen, lifetime.log_prob(time), lifetime.log_survival(time)))
