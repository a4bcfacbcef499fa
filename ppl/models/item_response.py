"""Item response theory: what answers to a test say about the persons, and about the questions.

A person solves an item with a probability that rises with the person's ability above the item's difficulty; the
discrimination says how steeply. Answers alone fix neither the zero nor the unit of ability, nor its sign: the standard
normal prior of the abilities fixes the first two, and positive discriminations the third.

The data are the answers of 1000 examinees to the five items of section 6 of the Law School Admission Test.

Sources: G. Rasch (1960), Probabilistic Models for Some Intelligence and Attainment Tests; A. Birnbaum (1968), in
F. M. Lord and M. R. Novick, Statistical Theories of Mental Test Scores; R. D. Bock and M. Lieberman (1970), Fitting a
response model for n dichotomously scored items, Psychometrika 35(2), table 1, for the data; R. D. Bock and M. Aitkin
(1981), Marginal maximum likelihood estimation of item parameters, Psychometrika 46(4), for the quadrature; the Stan
User's Guide, section on item-response theory models, for priors of this kind.
"""

import numpy as np

import ppl
from ppl import dist, ops

# How many examinees gave each pattern of answers, from 00000, 00001 (the last item solved) up to 11111.
PATTERN_COUNTS = np.array(
    [3, 6, 2, 11, 1, 1, 3, 4, 1, 8, 0, 16, 0, 3, 2, 15, 10, 29, 14, 81, 3, 28, 15, 80, 16, 56, 21, 173, 11, 61, 28, 298]
)
ANSWER_PATTERNS = np.array([[pattern >> bit & 1 for bit in (4, 3, 2, 1, 0)] for pattern in range(32)])
LSAT_ANSWERS = np.repeat(ANSWER_PATTERNS, PATTERN_COUNTS, axis=0)


@ppl.model
def rasch(persons: int, items: int):
    """One parameter an item: all items discriminate alike, to an extent that is learnt. Observe `answer`."""
    discrimination = ppl.sample("discrimination", dist.LogNormal(0.0, 1.0))
    with ppl.plate("items", size=items):
        difficulty = ppl.sample("difficulty", dist.Normal(0.0, 3.0))
    with ppl.plate("persons", size=persons):
        ability = ppl.sample("ability", dist.Normal(0.0, 1.0))
        ppl.sample("answer", dist.Bernoulli(logits=discrimination * (ability - difficulty)), dims=("item",))


@ppl.model
def two_parameter(persons: int, items: int):
    """Two parameters an item: each has a difficulty and a discrimination of its own. Observe `answer`."""
    with ppl.plate("items", size=items):
        discrimination = ppl.sample("discrimination", dist.LogNormal(0.0, 1.0))
        difficulty = ppl.sample("difficulty", dist.Normal(0.0, 3.0))
    with ppl.plate("persons", size=persons):
        ability = ppl.sample("ability", dist.Normal(0.0, 1.0))
        ppl.sample("answer", dist.Bernoulli(logits=discrimination * (ability - difficulty)), dims=("item",))


@ppl.model
def answer_patterns(patterns, persons: int, nodes: int = 21):
    """The two-parameter model of how many persons give each pattern of answers. Observe `count`.

    Abilities are integrated out by a Gauss-Hermite rule, so that ten unknowns remain for five items, however many
    persons there are.

    Args:
        patterns: all possible patterns of answers, zeros and ones of shape (patterns, items).
        persons: number of persons.
        nodes: number of abilities at which the integral is evaluated.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    with ppl.plate("items", size=patterns.shape[-1]):
        discrimination = ppl.sample("discrimination", dist.LogNormal(0.0, 1.0))
        difficulty = ppl.sample("difficulty", dist.Normal(0.0, 3.0))
    with ppl.plate("patterns", patterns) as answers:
        solved = dist.Bernoulli(logits=discrimination * (ops.asarray(points)[:, None] - difficulty))
        joint = np.log(weights / weights.sum()) + ops.sum(solved.element_log_prob(answers), axis=-1)
        log_probability = ppl.deterministic("log_probability", ops.logsumexp(joint))
    ppl.sample("count", dist.Multinomial(persons, logits=log_probability), dims=("pattern",))
