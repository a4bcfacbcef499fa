"""State-space models: what is measured is an unseen state plus noise, and the state moves from step to step.

The local level is a random walk, the local trend a random walk whose slope walks too. Where the scales are known these
models are linear and Gaussian, and the Kalman filter is exact. The state of the predator and prey model is the solution
of an equation of motion, with noise.

The data are the yearly flow of the Nile at Aswan, 1871 to 1970, in 10^8 m^3, and thousands of pelts of hares and lynxes
that were brought to the Hudson's Bay Company, 1900 to 1920.

Sources: J. Durbin and S. J. Koopman (2012), Time Series Analysis by State Space Methods, sections 2 and 3.2, and
G. W. Cobb (1978), The problem of the Nile; B. Carpenter (2018), Predator-prey population dynamics: the Lotka-Volterra
model in Stan, with data of E. P. Odum (1953), Fundamentals of Ecology.
"""

import numpy as np

import ppl
from ppl import dist, ops

_FLOW = """
1120 1160 963 1210 1160 1160 813 1230 1370 1140 995 935 1110 994 1020 960 1180 799 958 1140 1100 1210 1150 1250 1260
1220 1030 1100 774 840 874 694 940 833 701 916 692 1020 1050 969 831 726 456 824 702 1120 1100 832 764 821 768 845 864
862 698 845 744 796 1040 759 781 865 845 944 984 897 822 1010 771 676 649 846 812 742 801 1040 860 874 848 890 744 749
838 1050 918 986 797 923 975 815 1020 906 901 1170 912 746 919 718 714 740
"""
NILE = np.array(_FLOW.split(), dtype=float)

_HARES = "30 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22 25.4 27.1 40.3 57 76.6 52.3 19.5 11.2 7.6 14.6 16.2 24.7"
_LYNXES = "4 6.1 9.8 35.2 59.4 41.7 19 13 8.3 9.1 7.4 8 12.3 19.5 45.7 51.1 29.7 15.8 9.7 10.1 8.6"
PELTS = np.array([_HARES.split(), _LYNXES.split()], dtype=float).T


@ppl.model
def local_level(length: int, centre: float = 0.0, scale: float = 1.0):
    """A level that walks at random, measured with noise. Observe `y`.

    Args:
        length: number of steps.
        centre: about where the level is before the first step.
        scale: the size of differences between measurements.
    """
    drift = ppl.sample("drift", dist.HalfNormal(scale))
    noise = ppl.sample("noise", dist.HalfNormal(scale))

    def step(previous, t):
        level = ppl.sample("level", dist.Normal(previous, drift))
        ppl.sample("y", dist.Normal(level, noise))
        return level

    start = ppl.sample("start", dist.Normal(centre, 3.0 * scale))
    ppl.scan("steps", step, start, length=length)


@ppl.model
def marginal_local_level(length: int, centre: float = 0.0, scale: float = 1.0):
    """The local level with the level integrated out: the Kalman filter as a program. Observe `y`.

    A step predicts a measurement from all earlier ones; what it carries is mean and variance of the level given them.
    """
    drift = ppl.sample("drift", dist.HalfNormal(scale))
    noise = ppl.sample("noise", dist.HalfNormal(scale))

    def step(known, t):
        mean, variance = known
        variance = variance + drift**2
        total = variance + noise**2
        y = ppl.sample("y", dist.Normal(mean, ops.sqrt(total)))
        gain = variance / total
        return mean + gain * (y - mean), (1.0 - gain) * variance

    ppl.scan("steps", step, (centre, (3.0 * scale) ** 2), length=length)


@ppl.model
def local_trend(length: int, centre: float = 0.0, scale: float = 1.0):
    """A level that walks at random about a slope, which walks at random itself. Observe `y`."""
    drift = ppl.sample("drift", dist.HalfNormal(scale))
    bend = ppl.sample("bend", dist.HalfNormal(0.1 * scale))
    noise = ppl.sample("noise", dist.HalfNormal(scale))

    def step(previous, t):
        slope = ppl.sample("slope", dist.Normal(previous["slope"], bend))
        level = ppl.sample("level", dist.Normal(previous["level"] + slope, drift))
        ppl.sample("y", dist.Normal(level, noise))
        return {"level": level, "slope": slope}

    level = ppl.sample("start", dist.Normal(centre, 3.0 * scale))
    slope = ppl.sample("start_slope", dist.Normal(0.0, 0.3 * scale))
    ppl.scan("steps", step, {"level": level, "slope": slope}, length=length)


@ppl.model
def backward_guide(length: int, centre: float = 0.0, scale: float = 1.0):
    """Guide of `local_level`: each level given the one after it, from the last to the first.

    Given the scales the exact posterior has this form: where they are known, in model and guide alike, the evidence
    lower bound reaches the evidence.
    """
    for name in ("drift", "noise"):
        mean = ppl.param(f"{name}_mean", -0.5)
        spread = ppl.param(f"{name}_spread", 0.3, support=dist.support.positive)
        ppl.sample(name, dist.LogNormal(np.log(scale) + mean, spread))

    def step(later, t):
        gain = ppl.param("gain", 0.5)
        mean = ppl.param("mean", 0.0)
        spread = ppl.param("spread", 1.0, support=dist.support.positive)
        return ppl.sample("level", dist.Normal(centre + scale * mean + gain * (later - centre), scale * spread))

    level = ppl.scan("steps", step, centre, length=length, reverse=True)
    gain = ppl.param("start_gain", 0.5)
    mean = ppl.param("start_mean", 0.0)
    spread = ppl.param("start_spread", 1.0, support=dist.support.positive)
    ppl.sample("start", dist.Normal(centre + scale * mean + gain * (level[0] - centre), scale * spread))


@ppl.model
def predator_prey(years: int, substeps: int = 4):
    """Two populations, one of which feeds on the other; both drift off their course a little. Observe `pelts`.

    Args:
        years: number of steps.
        substeps: steps of the midpoint rule in a year.
    """
    rate = ppl.sample("rate", dist.LogNormal([-0.6, -3.5, -0.2, -3.7], 0.5), dims=("rate_of",))
    process = ppl.sample("process", dist.LogNormal(-2.0, 0.5))
    noise = ppl.sample("noise", dist.LogNormal(-1.5, 0.5))
    growth, eaten, death, fed = rate

    def slope(x):
        return ops.stack([growth - eaten * ops.exp(x[1]), fed * ops.exp(x[0]) - death])

    def step(previous, t):
        course, width = previous, 1.0 / substeps
        for _ in range(substeps):
            course = course + width * slope(course + 0.5 * width * slope(course))
        log_size = ppl.sample("log_size", dist.Normal(course, process), dims=("animal",))
        ppl.sample("pelts", dist.LogNormal(log_size, noise), dims=("animal",))
        return log_size

    start = ppl.sample("start", dist.Normal([3.0, 1.5], 1.0), dims=("animal",))
    ppl.scan("years", step, start, length=years)
