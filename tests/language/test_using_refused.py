"""What cannot be done with a program: data, interventions, new inputs, guides and compilation that do not fit it."""

# The mistakes are deliberate.
# pyright: reportArgumentType=false, reportCallIssue=false, reportUnusedExpression=false

from __future__ import annotations

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.errors import (
    DataError,
    DtypeError,
    ModelError,
    PlateError,
    ShapeError,
    SupportError,
    UnknownNameError,
)
from ppl.inference import AutoNormal
from tests.language.refusing import Table, assert_refused, program, vae

X = np.zeros((5, 3))
refused = Table()


# --- data ---------------------------------------------------------------------------------------------------------


@refused.call(
    ShapeError,
    r"the distribution has event shape \(28,\), the data has \(64,\)",
    r"^Give the decoder 64 outputs, or reshape the data\.$",
    site="x",
    plate="images (7 rows)",
    expected=r"^\(28,\) per row, from `decoder\(z\)`$",
    got=r"^\(64,\) per row, from data 'x' of shape \(7, 64\)$",
)
def _data_of_the_wrong_event_shape():
    vae(np.zeros((7, 64))).observe(x=np.zeros((7, 64), dtype=int))


@refused.call(ShapeError, r"event shape \(\), the data has \(1,\)", "Reshape", site="y", plate="rows (5 rows)")
def _a_column_in_place_of_numbers():
    program().observe(y=np.zeros((5, 1)))


@refused.call(ShapeError, r"the data has shape \(4,\)", "call the model with them", site="y", expected=r"rows \(5\)")
def _data_for_other_rows():
    program().observe(y=np.zeros(4))


@refused.call(
    ShapeError, r"event shape \(3,\), the data has \(2,\)", "Reshape", site="w", got=r"^\(2,\), from data 'w'"
)
def _a_vector_of_the_wrong_length():
    program().observe(w=np.zeros(2))


@refused.call(
    DataError, "1 numbers that are infinite", "NaN if they are missing", site="y", got=r"first at index \(3,\)"
)
def _infinite_data():
    program().observe(y=np.array([0.0, np.nan, 1.0, np.inf, 2.0]))


@refused.call(DataError, "all of its data is missing", "Leave the site out", site="y", got="5 missing")
def _data_that_is_all_masked():
    program().observe(y=np.ma.array(np.zeros(5), mask=True))


@refused.call(DtypeError, "it is real", r"y\.astype\(float\)", site="y", got="int64")
def _integers_for_a_real_site():
    program().observe(y=np.arange(5))


@refused.call(DtypeError, "holds fractions", "continuous distribution", site="n", got=r"0.5 at index \(2,\)")
def _fractions_for_a_discrete_site():
    program().observe(n=np.array([0.0, 1.0, 0.5, 1.0, 2.0]))


@refused.call(SupportError, "2 of its 5 data values", "Rescale", site="n", got=r"-1 at index \(1,\)", expected="nonneg")
def _negative_counts():
    program().observe(n=np.array([0, -1, 2, -3, 4]))


@refused.call(SupportError, "1 of its 1 data values", "Rescale", site="s", expected="HalfNormal")
def _data_outside_the_support():
    program().observe(s=-1.0)


@refused.call(DataError, "'y' is not numeric", "Encode", got="dtype")
def _none_in_data():
    program().observe(y=[1.0, None, 2.0, 3.0, 4.0])


@refused.call(DataError, "all of its data is missing", "Leave the site out", site="y", got="5 missing")
def _data_that_is_all_nan():
    program().observe(y=np.full(5, np.nan))


@refused.call(DataError, "'n' is not numeric", "Encode", got="<U1")
def _text_in_data():
    program().observe(n=["a", "b", "c", "d", "e"])


@refused.call(DataError, "'y' is not numeric", "Encode", got="complex128")
def _complex_numbers_in_data():
    program().observe(y=np.full(5, 1j))


@refused.call(UnknownNameError, "no random site 'yy'", "Did you mean 'y'", expected=r"\['w', 's', 'y', 'n'\]")
def _data_for_an_unknown_site():
    program().observe(yy=np.zeros(5))


@refused.call(DataError, "computed from other sites", r"measurement noise, or use \.do", site="total")
def _observing_a_deterministic_value():
    program().observe(total=1.0)


@refused.call(DataError, "it was set by `do`", "needs no data", site="w")
def _observing_what_was_set():
    program().do(w=0.0).observe(w=np.zeros(3))


@refused.call(DataError, "'bias' is a param", r"ppl\.sample", site="bias")
def _observing_a_parameter():
    program().observe(bias=1.0)


@refused.call(DataError, "'pull' is a factor", r"ppl\.sample", site="pull")
def _observing_a_factor():
    program().observe(pull=1.0)


@refused.call(DataError, "'x' is an input", r"\.bind", site="x")
def _observing_an_input():
    program().observe(x=X)


@refused.call(DataError, "'rows' is a plate", r"ppl\.sample", site="rows")
def _observing_a_plate():
    program().observe(rows=np.zeros(5))


@refused.call(DtypeError, "'y' is float64, and float32 cannot hold it", 'precision="float64"', got="1e.09")
def _differences_that_float32_drowns():
    bound = program().do(w=0.0, s=1.0).observe(y=1e9 + np.arange(5) * 1e-3)
    ppl.compile(bound, "pyro").log_density({"n": np.zeros(5)})


@refused.call(DtypeError, "'y' is float64, and float32 cannot hold it", "centre and scale", got="1e.300")
def _numbers_too_large_for_float32():
    bound = program().do(w=0.0, s=1.0).observe(y=np.full(5, 1e300))
    ppl.compile(bound, "pyro").log_density({"n": np.zeros(5)})


@ppl.model
def walk():
    def step(before, t):
        return ppl.sample("z", dist.Normal(before, 1.0))

    ppl.scan("time", step, init=0.0, length=3)


# --- interventions ------------------------------------------------------------------------------------------------


@refused.call(UnknownNameError, "no site 'ww'", "Did you mean 'w'")
def _do_on_an_unknown_site():
    program().do(ww=1.0)


@refused.call(ModelError, "'bias' is a parameter; only sites", r"ppl\.sample or ppl\.deterministic", site="bias")
def _do_on_a_parameter():
    program().do(bias=1.0)


@refused.call(ModelError, "'pull' is a factor; only sites", r"ppl\.sample or ppl\.deterministic", site="pull")
def _do_on_a_factor():
    program().do(pull=1.0)


@refused.call(ModelError, "'decoder' is a network; only sites", r"ppl\.sample or", site="decoder")
def _do_on_a_network():
    vae(X).do(decoder=1.0)


@refused.call(ModelError, "'x' is an input; only sites", r"\.bind", site="x")
def _do_on_an_input():
    program().do(x=1.0)


@refused.call(ModelError, r"'time\.before' is what a scan carries; only", r"ppl\.sample or", site="time.before")
def _do_on_a_carry():
    walk().do(**{"time.before": 1.0})


@refused.call(DataError, "not finite", r"declare ppl\.deterministic\('z', ops\.where", site="z", got="nan")
def _do_on_some_steps_only():
    walk().do(z=np.array([np.nan, 2.0, np.nan]))


@refused.call(ModelError, r"`do\(w=\.\.\.\)` after observing '[ny]'", "counterfactual", site="w", got=r"\['n', 'y'\]")
def _do_upstream_of_data():
    program().observe(y=np.zeros(5), n=np.zeros(5, int)).do(w=0.0)


@refused.call(
    ShapeError, "fits neither one element nor all", "plates in front", site="y", expected=r"\(\) or shape \(5,\)"
)
def _do_with_the_wrong_shape():
    program().do(y=np.zeros(4))


@refused.call(SupportError, "outside the support", "could take", site="s", got="-1")
def _do_outside_the_support():
    program().do(s=-1.0)


@refused.call(DataError, "not finite", "Set it to a number", site="s", got="nan")
def _do_with_nan():
    program().do(s=np.nan)


@refused.call(DtypeError, "cannot be set to a fraction", "integers", site="n", got="1.5")
def _do_with_a_fraction():
    program().do(n=1.5)


@refused.call(DataError, "not numeric", "Encode")
def _do_with_text():
    program().do(s="high")


# --- new inputs -----------------------------------------------------------------------------------------------------


@refused.call(UnknownNameError, "no input 'X'", "Did you mean 'x'|Known names", expected="x.*group")
def _binding_an_unknown_input():
    program().bind(X=X)


@refused.call(ShapeError, "another number of axes", "call the model", got=r"\(5,\)")
def _binding_another_rank():
    program().bind(x=np.zeros(5))


@refused.call(ShapeError, "do not fit the model", "lengths of plates", got=r"\(5, 4\)")
def _binding_other_event_axes():
    program().bind(x=np.zeros((5, 4)))


@refused.call(ShapeError, "different lengths", "together", plate="rows (5)", got="8 rows.*5 rows")
def _binding_one_of_two_inputs():
    program().bind(x=np.zeros((8, 3)))


@refused.call(PlateError, "size 0", "has rows", plate="rows")
def _binding_no_rows():
    program().bind(x=X[:0], group=np.zeros(0, dtype=int))


@refused.call(DataError, "holds real numbers", "astype", got="float64")
def _binding_real_numbers_to_an_index():
    program().bind(group=np.zeros(5))


@refused.call(
    ShapeError, "set by `do` to a value for each of the old rows", "after binding", site="y", plate="rows (8)"
)
def _binding_other_rows_under_an_intervention():
    program().do(y=np.zeros(5)).bind(x=np.zeros((8, 3)), group=np.zeros(8, dtype=int))


@refused.call(
    ShapeError, "set by `do` to a value for each of the old rows", "after binding", site="y", plate="rows (5)"
)
def _binding_as_many_rows_under_an_intervention():
    program().do(y=np.zeros(5)).bind(x=np.ones((5, 3)))


@refused.call(ShapeError, "what plate 'rows' maps over has kept its old length", "call the model", plate="rows (8)")
def _binding_rows_beside_an_array_of_the_old_length():
    @ppl.model
    def small(x):
        order = ops.arange(x.shape[0])
        with ppl.plate("rows", x):
            ppl.sample("first", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", order) as i:
            ppl.sample("second", dist.Normal(i * 1.0, 1.0))

    small(X).bind(x=np.zeros((8, 3)))


@refused.call(PlateError, "'guide.z.loc' has one value for each of the old rows", "guide again", plate="images (5)")
def _binding_new_rows_to_an_automatic_guide():
    guide = AutoNormal().build(vae(X).observe(x=np.zeros((5, 28), dtype=int)), 0)
    guide.bind(images=np.ones((6, 3)))


@refused.call(DataError, "it picks row 3 of a table of 3", "Number the groups", site="n")
def _binding_a_group_that_does_not_exist():
    program().bind(group=np.array([0, 1, 2, 3, 0]))


@pytest.mark.parametrize("name", refused.cases)
def test_refused(name: str):
    assert_refused(*refused.cases[name], __file__)


def test_the_words_of_the_design_page():
    """The example of tone, to the letter, but for the names."""
    with pytest.raises(ShapeError) as caught:
        vae(np.zeros((1797, 64))).observe(x=np.zeros((1797, 64), dtype=int))
    lines = str(caught.value).splitlines()
    assert lines[0] == "site 'x' in model 'vae': the distribution has event shape (28,), the data has (64,)."
    assert lines[1].startswith("  declared at   refusing.py:")
    assert lines[2:] == [
        "  plate         images (1797 rows)",
        "  expected      (28,) per row, from `decoder(z)`",
        "  got           (64,) per row, from data 'x' of shape (1797, 64)",
        "Give the decoder 64 outputs, or reshape the data.",
    ]
