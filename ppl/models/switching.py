"""Switching dynamics: a hidden regime decides how a series moves, and the regime is a Markov chain.

The regimes are summed out of the density, and come back as draws of whole paths. In the autoregression that sum is
Hamilton's filter; with an unseen level beside the regimes, samplers and guides treat the level.

The data are quarterly growth of real GNP of the United States, 1951-II to 1984-IV, in per cent.

Sources: J. D. Hamilton (1989), A new approach to the economic analysis of nonstationary time series and the business
cycle, Econometrica 57(2); C.-J. Kim and C. R. Nelson (1999), State-Space Models with Regime Switching, chapters 4, 5.
"""

import itertools

import numpy as np

import ppl
from ppl import dist, ops

_GROWTH = """
2.59316421 2.20217133 0.45827562 0.9687438 -0.24130757 0.89647478 2.05393219 1.73353648 0.93871289 -0.46477833
-0.80983406 -1.39763689 -0.39886093 1.1918416 1.45620048 2.11808228 1.08957863 1.32390273 0.87296367 -0.19773273
0.45420215 0.07221876 1.1030364 0.82097489 -0.05795795 0.58447772 -1.56192672 -2.05041027 0.53637183 2.33676839
2.34014559 1.2339263 1.8869648 -0.45920792 0.84940469 1.70139849 -0.28756312 0.09594627 -0.86080289 1.03447127
1.23685944 1.42004502 2.22410631 1.30210173 1.03517699 0.9253425 -0.16559951 1.3444382 1.37500131 1.73222184
0.71605635 2.21032143 0.85333031 1.00238776 0.42725441 2.14368343 1.43789184 1.57959926 2.27469826 1.95962656
0.25992399 1.01946914 0.49016398 0.5636338 0.5959546 1.43082857 0.56230122 1.15388393 1.68722844 0.77438205
-0.09647045 1.39600146 0.13646798 0.55223715 -0.39944872 -0.61671102 -0.08722561 1.2101835 -0.90729755 2.64916158
-0.0080694 0.51111895 -0.00401437 2.16821432 1.92586732 1.03504717 1.85897219 2.32004929 0.25570789 -0.09855274
0.89073682 -0.55896485 0.28350255 -1.31155407 -0.88278776 -1.97454941 1.01275265 1.68264723 1.38271284 1.86073637
0.4447377 0.41449001 0.99202275 1.36283576 1.59970522 1.98845816 -0.25684232 0.87786949 3.1095655 0.85324478
1.23337317 0.00314302 -0.09433369 0.89883322 -0.19036628 0.99772376 -2.39120054 0.06649673 1.26136017 1.91637838
-0.3348029 0.44207108 -1.40664911 -1.52129889 0.29919869 -0.80197448 0.15204792 0.98585027 2.13034606 1.34397924
1.61550522 2.70930099 1.24461412 0.50835466 0.14802167
"""
GROWTH = np.array(_GROWTH.split(), dtype=float)


@ppl.model
def switching_autoregression(first, length: int):
    """Autoregression about a level that depends on the regime: 0 is low, 1 is high. Observe `y`.

    A value depends on the regimes of the steps before, too, so the state of the chain is the history of regimes: those
    of this step and of as many steps as there are lags. A history can only move on by one step.

    Args:
        first: the values before the first step, earliest first; as many as there are lags.
        length: number of steps.
    """
    lags = first.shape[0]
    histories = np.array(list(itertools.product([0, 1], repeat=lags + 1)))
    follows = (histories[None, :, 1:] == histories[:, None, :-1]).all(-1)
    latest = np.eye(2)[histories[:, 0]]

    low, high = ppl.sample("level", dist.Transformed(dist.Normal(0.0, 1.0).expand([2]), dist.Ordered()))
    stay = ppl.sample("stay", dist.Beta(8.0, 2.0).expand([2]), dims=("regime_of",))
    weight = ppl.sample("weight", dist.Normal(0.0, 0.5).expand([lags]), dims=("lag",))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    stay_0, stay_1 = stay
    moves = ops.stack([ops.stack([stay_0, 1.0 - stay_0]), ops.stack([1.0 - stay_1, stay_1])])
    onward = ops.where(follows, latest @ moves @ latest.T, 0.0)
    levels = ops.where(histories == 1, high, low)

    def step(previous, t):
        history, *earlier = previous
        history = ppl.sample("history", dist.Categorical(probs=onward[history]))
        ppl.deterministic("regime", ops.asarray(histories[:, 0])[history])
        about = levels[history]
        mean = about[0] + sum(weight[k] * (earlier[k] - about[k + 1]) for k in range(lags))
        y = ppl.sample("y", dist.Normal(mean, noise))
        return history, y, *earlier[:-1]

    balance = ops.eye(len(histories)) - onward.T + 1.0
    start = ppl.sample("start", dist.Categorical(probs=ops.solve(balance, ops.ones(len(histories)))))
    ppl.scan("steps", step, (start, *(first[lags - 1 - k] for k in range(lags))), length=length)


@ppl.model
def switching_level(length: int, centre: float = 0.0, scale: float = 1.0):
    """A level that hardly moves in quiet steps and jumps in others, measured with noise. Observe `y`.

    Args:
        length: number of steps.
        centre: about where the level is before the first step.
        scale: the size of differences between measurements.
    """
    drift = ppl.sample("drift", dist.LogNormal([-3.0, 0.5], 0.5), dims=("regime_of",))
    stay = ppl.sample("stay", dist.Beta([20.0, 2.0], [1.0, 2.0]), dims=("regime_of",))
    noise = ppl.sample("noise", dist.HalfNormal(scale))
    stay_0, stay_1 = stay
    moves = ops.stack([ops.stack([stay_0, 1.0 - stay_0]), ops.stack([1.0 - stay_1, stay_1])])

    def step(previous, t):
        regime, level = previous
        regime = ppl.sample("regime", dist.Categorical(probs=moves[regime]))
        level = ppl.sample("level", dist.Normal(level, scale * drift[regime]))
        ppl.sample("y", dist.Normal(level, noise))
        return regime, level

    start = ppl.sample("start", dist.Normal(centre, 3.0 * scale))
    ppl.scan("steps", step, (0, start), length=length)
