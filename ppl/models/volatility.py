"""Stochastic volatility: returns whose log variance wanders about a mean.

The data are daily returns of the pound against the dollar, 2 October 1981 to 28 June 1985, in per cent, less their
mean.

Sources: S. Kim, N. Shephard and S. Chib (1998), Stochastic volatility: likelihood inference and comparison with ARCH
models, Review of Economic Studies 65(3), whose priors these are; the data are those of A. C. Harvey, E. Ruiz and
N. Shephard (1994), Multivariate stochastic variance models.
"""

import numpy as np

import ppl
from ppl import dist, ops

# In hundredths of a per cent.
_RETURNS = """
-32 146 -41 106 171 40 -91 -102 -26 14 -174 92 -78 -51 -32 64 -87 48 37 83 63 133 14 33 20 -18 83 -87 57 51 106 53
-141 40 59 -25 45 -7 127 7 99 27 -66 19 -74 91 -16 -85 -34 -142 -70 -118 140 41 -28 -57 37 36 33 -8 1 77 43 90 -56 43
-36 40 -151 -60 -26 -96 81 16 113 -41 17 -76 -120 52 82 3 51 -84 12 -23 -7 -8 8 -81 29 15 -51 -45 6 41 15 57 -3 -78
-35 23 -48 -2 -17 32 26 67 -67 -79 -7 17 -65 32 12 24 9 -35 6 5 30 -30 -83 -30 11 9 24 8 -106 -106 92 -39 38 18 -54 49
-6 56 9 26 -13 27 -9 54 57 23 31 12 96 43 52 -20 39 -49 -32 5 -75 -52 -108 93 67 1 -22 -12 -25 -26 2 49 3 -27 -41 -31
-67 55 -39 -16 -25 -76 -14 -98 122 -57 55 -86 -27 57 81 -44 -3 -5 -37 -93 16 90 70 -57 -17 -24 3 132 -34 67 3 89 12
-39 -25 -34 -8 55 20 -107 -93 -26 -102 98 -69 11 24 11 14 158 -54 107 11 92 93 -11 -165 -128 34 76 1 -57 113 -133 22
-42 -60 36 31 -47 50 16 -27 37 -22 -32 -19 -32 12 -11 20 -78 12 51 49 83 20 55 -63 -23 -45 45 -6 -65 1 18 -102 42 -4
-52 9 13 28 -13 -57 -31 -51 23 51 -57 -22 -110 -43 -148 11 124 -165 0 39 -88 82 113 100 4 2 59 -64 6 -16 -81 30 -67 97
-36 52 -21 -11 -31 18 -93 66 121 -15 -24 45 -10 -71 -31 -65 -162 75 27 -9 67 -94 -17 -14 19 -225 36 42 -55 -3 -72 4
-36 13 -16 56 92 24 9 24 -55 68 -3 -9 -4 -39 -103 17 47 3 -88 -48 -3 40 7 42 -82 -10 53 -70 43 60 -46 -2 -111 -111 -13
-50 23 -13 -55 13 67 122 132 104 -57 -18 141 61 67 -63 71 87 4 -29 -40 29 118 40 -41 -25 15 102 40 -6 -13 -35 -44 26 7
-21 -44 -24 42 -18 13 -19 112 92 77 8 55 -104 -37 -128 88 -24 11 73 -48 -146 -146 -56 67 -21 30 19 -1 71 43 -19 -88
-16 53 -10 -14 -3 73 15 -5 -31 -21 11 -9 -86 38 -3 54 -10 -35 -8 53 5 4 -37 -53 -18 -23 -100 -28 6 42 -56 -19 38 39 98
96 40 -22 59 15 -30 -109 -61 0 -13 46 -24 42 -6 -88 40 24 52 -55 -17 25 28 59 37 -33 -46 26 25 -45 26 3 -31 -73 -44 58
51 101 39 -29 -9 -35 -11 40 -5 -16 10 18 -17 11 -9 -15 16 -12 3 -41 11 -21 8 -9 15 23 -13 10 -14 17 -46 -53 -14 14 -2
-17 -39 18 -29 69 -44 -17 -37 -1 -12 -38 -30 -18 -85 -15 19 -23 19 6 32 27 47 15 89 38 -144 -100 -23 -31 -52 50 -60 1
100 48 -3 -55 95 -123 55 -78 36 46 -26 14 -16 29 100 25 29 -93 0 78 -61 31 30 99 84 22 -22 11 57 56 33 4 158 13 -69 33
-2 -22 -3 -79 -43 -27 49 86 -120 -56 -41 -17 -46 -15 63 31 63 -23 40 -66 -11 -75 28 23 -38 48 -9 58 -23 -63 -29 -2 -21
23 -64 13 -43 -1 -64 2 24 37 65 -211 14 -5 19 14 1 52 45 -67 43 -26 -32 -65 64 6 8 17 68 46 -29 21 1 -30 14 -61 -10 12
-53 -15 6 -54 -21 -5 -81 13 -32 15 50 -47 -97 4 -72 -49 -69 -16 20 3 96 34 -15 -56 63 13 -46 31 89 -11 -140 -19 23 -72
89 99 -15 -124 42 7 7 -47 154 -27 56 -26 -23 -47 -34 23 -16 20 30 -22 -5 -54 -71 -58 -7 -38 -31 23 28 -83 -14 -177
-117 85 -131 138 88 -97 -39 147 -79 2 25 76 -58 -63 20 -46 -43 10 30 -168 -25 -2 -123 40 54 89 108 47 -44 -88 20 41 72
225 77 10 102 -42 -30 19 81 -108 -8 -5 -91 -21 -165 40 -70 -158 73 -91 10 48 -80 110 -5 -9 -9 21 -13 -25 -57 -17 9 -37
-71 -49 12 46 -90 -14 -44 -105 60 8 -65 48 -61 -83 -23 -144 72 20 -13 12 38 -4 -93 34 -25 -8 48 79 35 -12 -118 -7 -4
42 -31 -153 -51 -31 58 103 -86 8 -55 15 -117 -194 -111 445 -61 -94 1 -90 -60 86 53 159 48 -52 -30 46 181 286 23 457
-156 -15 69 385 16 44 -45 -116 78 -200 48 179 211 36 245 -29 38 98 9 -61 -160 -326 -132 82 83 103 -135 -17 -91 12 16
188 40 132 146 -48 -77 65 196 -129 -6 -92 38 -66 93 86 105 50 -82 -164 90 -26 -61 53 -9 15 107 -11 154 116 -252 23 46
-6 93 -91 222
"""
RETURNS = np.array(_RETURNS.split(), dtype=float) / 100.0


def _volatility_priors():
    """Persistence, spread and mean of the log variance; priors of Kim, Shephard and Chib, section 2.2."""
    persistence = ppl.sample("persistence", dist.Transformed(dist.Beta(20.0, 1.5), dist.Affine(-1.0, 2.0)))
    spread = ops.sqrt(ppl.sample("variance", dist.InverseGamma(2.5, 0.025)))
    mean = ppl.sample("mean", dist.Normal(0.0, 3.0))
    # The usual size of a return; the authors call it beta.
    ppl.deterministic("scale", ops.exp(0.5 * mean))
    return persistence, spread, mean


@ppl.model
def stochastic_volatility(length: int):
    """Centred form: the log variances themselves are sampled. Observe `y`.

    Given the parameters each log variance depends on its neighbours alone, so the density of all is computed at once;
    where the spread is small, samplers meet a funnel.
    """
    persistence, spread, mean = _volatility_priors()

    def step(previous, t):
        log_variance = ppl.sample("log_variance", dist.Normal(mean + persistence * (previous - mean), spread))
        ppl.sample("y", dist.Normal(0.0, ops.exp(0.5 * log_variance)))
        return log_variance

    start = ppl.sample("start", dist.Normal(mean, spread / ops.sqrt(1.0 - persistence**2)))
    ppl.scan("steps", step, start, length=length)


@ppl.model
def noncentred_volatility(length: int):
    """Non-centred form of the same model: shocks are sampled, and log variances follow from them. Observe `y`."""
    persistence, spread, mean = _volatility_priors()

    def step(previous, t):
        shock = ppl.sample("shock", dist.Normal(0.0, 1.0))
        log_variance = ppl.deterministic("log_variance", mean + persistence * (previous - mean) + spread * shock)
        ppl.sample("y", dist.Normal(0.0, ops.exp(0.5 * log_variance)))
        return log_variance

    shock = ppl.sample("start_shock", dist.Normal(0.0, 1.0))
    ppl.scan("steps", step, mean + spread / ops.sqrt(1.0 - persistence**2) * shock, length=length)
