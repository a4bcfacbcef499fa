"""Programs that must be refused, each with the error and the words that it must give."""

# The mistakes are deliberate, and the names in models are symbolic values.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.errors import (
    DataError,
    DtypeError,
    GuideError,
    ModelError,
    NameClashError,
    PlateError,
    PPLError,
    ScopeError,
    ShapeError,
    SupportError,
    SymbolicValueError,
    UnknownNameError,
)

ROWS = np.zeros((5, 3))
HERE = "test_refusals.py:"


@ppl.model
def regression(x):
    w = ppl.sample("w", dist.Normal(0.0, 1.0).expand([3]))
    s = ppl.sample("s", dist.HalfNormal(1.0))
    with ppl.plate("rows", x) as row:
        ppl.sample("y", dist.Normal(row @ w, s))


@ppl.model
def counts(size: int = 4):
    rate = ppl.sample("rate", dist.Gamma(2.0, 1.0))
    total = ppl.deterministic("total", 2.0 * rate)
    with ppl.plate("rows", size=size):
        ppl.sample("n", dist.Poisson(total))


@ppl.model
def grouped(group):
    with ppl.plate("groups", size=3):
        level = normal("level")
    with ppl.plate("rows", group) as g:
        ppl.sample("y", dist.Normal(level[g], 1.0))


def model(body):
    """Trace a model without inputs."""
    body.__name__ = "small"
    return ppl.model(body)()


def guide(body, x=ROWS):
    """Check a guide against the regression."""

    @ppl.model
    def mine(x):
        body(x)

    regression(x).observe(y=np.zeros(5)).check(mine(x))


def normal(name: str, shape: tuple[int, ...] = (), **kwargs):
    return ppl.sample(name, dist.Normal(0.0, 1.0).expand(list(shape)), **kwargs)


def same_plate_other_size():
    with ppl.plate("rows", size=3):
        normal("a")
    with ppl.plate("rows", size=4):
        normal("b")


def plate(*args, **kwargs):
    def body():
        with ppl.plate(*args, **kwargs):
            normal("a")

    return body


def twice():
    normal("a")
    normal("a")


def truth_value():
    a = normal("a")
    normal("b" if a > 0 else "c")


def stale_value(name: str):
    """A value of a model that has been traced before."""
    kept = []

    @ppl.model
    def earlier():
        kept.append(normal(name))

    earlier()
    return kept[0]


STALE = stale_value("z")


def prior_inside_plate():
    with ppl.plate("rows", size=3):
        nn.MLP("net", [2, 2], prior=dist.Normal(0.0, 1.0))


GOOD_W = lambda: normal("w", (3,))

REFUSED = {
    # declaring
    "sample outside a model": (lambda: normal("a"), ModelError, "called outside a model.*\n.*" + HERE),
    "two sites with one name": (lambda: model(twice), NameClashError, "site 'a'.*already taken"),
    "plate of size 0": (lambda: model(plate("rows", size=0)), PlateError, "'rows' has size 0"),
    "plate of negative size": (lambda: model(plate("rows", size=-2)), PlateError, "'rows' has size -2"),
    "plate over no rows": (lambda: model(plate("rows", np.zeros((0, 2)))), PlateError, "'rows' has size 0"),
    "plate size against its input": (
        lambda: model(plate("rows", ROWS, size=4)),
        PlateError,
        "size 4, but its input has 5 rows",
    ),
    "plate inputs of two lengths": (
        lambda: model(plate("rows", (ROWS, np.zeros(4)))),
        PlateError,
        "different lengths",
    ),
    "plate over a scalar": (
        lambda: model(plate("rows", np.float64(2.0).reshape(()))),
        PlateError,
        "cannot map over a float64",
    ),
    "plate over a number": (lambda: model(plate("rows", 5)), PlateError, "cannot map over a int.*\n(.*\n)*.*size=5"),
    "plate without anything": (lambda: model(plate("rows")), PlateError, "neither an input nor a size"),
    "plate reused with another size": (
        lambda: model(same_plate_other_size),
        PlateError,
        "used again with another size.*\n(.*\n)*.*expected +3 elements",
    ),
    "python if": (lambda: model(truth_value), SymbolicValueError, r"truth value(.*\n)*.*ops\.where"),
    "math function": (
        lambda: model(lambda: math.exp(normal("a"))),
        SymbolicValueError,
        r"concrete float(.*\n)*.*ppl\.ops",
    ),
    "numpy function": (
        lambda: model(lambda: np.asarray(normal("a"))),
        SymbolicValueError,
        r"concrete array(.*\n)*.*ppl\.ops",
    ),
    "value of another model": (
        lambda: model(lambda: ppl.sample("b", dist.Normal(STALE, 1.0))),
        ScopeError,
        "site 'b'.*reads 'z', which is not declared",
    ),
    "nothing declared": (lambda: model(lambda: None), ModelError, "returned before it declared anything"),
    "generator": (lambda: model(lambda: (yield)), ModelError, "contains `yield`"),
    "missing input": (lambda: regression(), ModelError, "missing a required argument: 'x'"),
    "unknown argument of a distribution": (
        lambda: model(lambda: ppl.sample("a", dist.Normal(mean=0.0))),
        UnknownNameError,
        r"Normal has no argument 'mean'(.*\n)*.*(loc|scale)",
    ),
    "misspelt argument": (
        lambda: model(lambda: ppl.sample("a", dist.Normal(0.0, scal=1.0))),
        UnknownNameError,
        "Did you mean 'scale'",
    ),
    "negative scale": (
        lambda: model(lambda: ppl.sample("a", dist.Normal(0.0, -1.0))),
        SupportError,
        "'scale' is outside",
    ),
    "parameters that do not broadcast": (
        lambda: model(lambda: ppl.sample("a", dist.Normal(np.zeros(3), np.ones(2)))),
        ShapeError,
        "do not broadcast",
    ),
    "not a distribution": (lambda: model(lambda: ppl.sample("a", 1.0)), ModelError, "site 'a'.*needs a distribution"),
    "expand to a shape that does not fit": (
        lambda: model(lambda: ppl.sample("a", dist.Normal(np.zeros(3), 1.0).expand([4]))),
        ShapeError,
        r"expand\(\[4\]\) does not fit event shape \(3,\)",
    ),
    "network input of the wrong size": (
        lambda: model(lambda: nn.MLP("net", [4, 2])(normal("a", (3,)))),
        ShapeError,
        r"network 'net' does not fit its input(.*\n)*.*MLP\(\[4, 2\]",
    ),
    "unknown activation": (
        lambda: model(lambda: nn.MLP("net", [2, 2, 2], "tanhh")),
        UnknownNameError,
        "Did you mean 'tanh'",
    ),
    "prior inside a plate": (lambda: model(prior_inside_plate), PlateError, "stands inside plate 'rows'"),
    "vector factor": (
        lambda: model(lambda: ppl.factor("f", np.zeros(2))),
        ShapeError,
        r"site 'f'.*one number(.*\n)*.*ops\.sum",
    ),
    "mask of booleans": (
        lambda: model(lambda: ppl.sample("a", dist.Normal(normal("b", (3,))[normal("c", (3,)) > 0], 1.0))),
        ShapeError,
        r"boolean mask(.*\n)*.*ops\.where",
    ),
    "matrix product of wrong sizes": (
        lambda: model(lambda: normal("a", (3,)) @ normal("b", (2,))),
        ShapeError,
        "contracts 3 with 2",
    ),
    "index out of range": (lambda: model(lambda: normal("a", (3,))[3]), ShapeError, "index 3 is out of range"),
    "site named like a plate": (
        lambda: model(plate("a", size=3)),
        NameClashError,
        "a plate and a statement share this name",
    ),
    "index outside its table": (
        lambda: grouped(np.array([0, 1, 7])),
        DataError,
        r"site 'y'.*picks row 7 of a table of 3 by input 'group'(.*\n)*.*integers from 0 to 2",
    ),
    # data
    "data of the wrong event shape": (
        lambda: regression(ROWS).observe(y=np.zeros((5, 2))),
        ShapeError,
        r"site 'y' in model 'regression'.*event shape \(\)(.*\n)*.*plate +rows \(5 rows\)(.*\n)*.*\(5, 2\)",
    ),
    "data of the wrong length": (
        lambda: regression(ROWS).observe(y=np.zeros(4)),
        ShapeError,
        r"expected +shape \(5,\)",
    ),
    "NaN": (
        lambda: regression(ROWS).observe(y=np.full(5, np.nan)),
        DataError,
        r"site 'y'.*5 numbers that are NaN(.*\n)*.*\(0,\)",
    ),
    "integers for a real site": (
        lambda: regression(ROWS).observe(y=np.zeros(5, int)),
        DtypeError,
        r"is real(.*\n)*.*astype",
    ),
    "fractions for counts": (
        lambda: counts().observe(n=[0.5, 1.0, 2.0, 3.0]),
        DtypeError,
        r"holds fractions(.*\n)*.*0.5",
    ),
    "negative counts": (
        lambda: counts().observe(n=[-1, 1, 2, 3]),
        SupportError,
        r"1 of its 4 data values(.*\n)*.*nonnegative_integer",
    ),
    "strings": (lambda: counts().observe(n=["a", "b", "c", "d"]), DataError, "not numeric"),
    "unknown site": (lambda: counts().observe(nn=[1, 1, 2, 3]), UnknownNameError, r"no random site 'nn'(.*\n)*.*'n'"),
    "deterministic site": (lambda: counts().observe(total=1.0), DataError, "site 'total'.*computed from other sites"),
    "float64 that float32 falsifies": (
        lambda: ppl.compile(
            regression(1.7e9 + np.arange(15.0).reshape(5, 3)).observe(y=np.zeros(5)), "pyro"
        ).log_density({"w": np.zeros(3), "s": 1.0}),
        DtypeError,
        r"float32 cannot hold(.*\n)*.*precision=.float64.",
    ),
    "unknown backend": (lambda: ppl.compile(counts(), "numpiro"), UnknownNameError, "Did you mean 'numpyro'"),
    "input without values": (
        lambda: ppl.compile(regression(ppl.spec((5, 3))), "numpyro").simulate(),
        DataError,
        "input 'x' has no values",
    ),
    # interventions
    "do on an unknown site": (lambda: counts().do(rat=1.0), UnknownNameError, "Did you mean 'rate'"),
    "do outside the support": (lambda: counts().do(rate=-1.0), SupportError, "value to set lies outside"),
    "do upstream of data": (
        lambda: counts().observe(n=[1, 1, 2, 3]).do(rate=1.0),
        ModelError,
        r"two readings(.*\n)*.*counterfactual",
    ),
    "do of the wrong shape": (lambda: regression(ROWS).do(w=np.zeros(2)), ShapeError, "neither one element nor all"),
    # guides
    "latent without a guide site": (
        lambda: guide(lambda x: GOOD_W()),
        GuideError,
        r"site 's' in model 'regression'.*no site for this latent(.*\n)*.*" + HERE,
    ),
    "guide site the model lacks": (
        lambda: guide(lambda x: (GOOD_W(), ppl.sample("s", dist.LogNormal(0.0, 1.0)), normal("t"))),
        GuideError,
        "site 't'.*no such site",
    ),
    "guide samples what is observed": (
        lambda: guide(lambda x: (GOOD_W(), ppl.sample("s", dist.LogNormal(0.0, 1.0)), normal("y"))),
        GuideError,
        "site 'y'.*model observes this site",
    ),
    "guide of another support": (
        lambda: guide(lambda x: (GOOD_W(), normal("s"))),
        SupportError,
        r"site 's'.*impossible in the model(.*\n)*.*biject_to",
    ),
    "guide of another event shape": (
        lambda: guide(lambda x: (normal("w", (2,)), ppl.sample("s", dist.LogNormal(0.0, 1.0)))),
        ShapeError,
        r"site 'w'.*event shape \(2,\), the model \(3,\)",
    ),
    "guide site in a plate": (
        lambda: guide(lambda x: (GOOD_W(), _in_plate(x))),
        PlateError,
        "site 's'.*disagree about its plates",
    ),
    "guide with a factor": (
        lambda: guide(lambda x: (GOOD_W(), ppl.sample("s", dist.LogNormal(0.0, 1.0)), ppl.factor("f", 0.0))),
        GuideError,
        "site 'f'.*cannot hold a factor",
    ),
    "guide reads a site that comes later": (
        lambda: guide(lambda x: (ppl.sample("s", dist.LogNormal(STALE, 1.0)), GOOD_W(), normal("z"))),
        ScopeError,
        "site 's'.*reads 'z', which is not declared in this model at this point",
    ),
}


def _in_plate(x):
    with ppl.plate("rows", x):
        ppl.sample("s", dist.LogNormal(0.0, 1.0))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    build, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as caught:
        build()
    assert isinstance(caught.value, PPLError)
    assert caught.value.summary


def test_the_tone_of_a_shape_error() -> None:
    with pytest.raises(ShapeError) as caught:
        regression(ROWS).observe(y=np.zeros((5, 2)))
    error = caught.value
    assert (error.site, error.model, error.plate) == ("y", "regression", "rows (5 rows)")
    assert error.declared_at is not None and error.declared_at.file == __file__
    assert error.expected and error.got and error.remedy
    assert ops.exp is not None
