"""Models: how arguments become inputs and settings, what a call gives, and what the user's names do."""

# Names in models are symbolic values; a model called inside another returns what its function returns.
# pyright: reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import threading
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import ppl
from ppl import dist, ops
from ppl.errors import Location, ShapeError
from ppl.language.model import Model
from ppl.program.program import Program

X = np.arange(6.0).reshape(3, 2)


@ppl.model
def regression(x, scale: float = 1.0):
    """A doc string."""
    w = ppl.sample("w", dist.Normal(0.0, scale).expand([2]))
    with ppl.plate("rows", x) as row:
        ppl.sample("y", dist.Normal(row @ w, 1.0))


ARRAYS: dict[str, Any] = {
    "numpy": X,
    "numpy float32": X.astype(np.float32),
    "numpy integers": X.astype(int),
    "torch": torch.as_tensor(X),
    "torch with gradients": torch.as_tensor(X).requires_grad_(),
    "jax": jnp.asarray(X),
    "pandas": pd.DataFrame(X, columns=["a", "b"]),
    "xarray": xr.DataArray(X, dims=("rows", "features")),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_input_may_be_any_array(kind: str):
    program = regression(ARRAYS[kind])
    assert [(i.name, i.shape) for i in program.inputs] == [("x", (3, 2))]
    np.testing.assert_array_equal(program.data["x"], X)
    assert isinstance(program.data["x"], np.ndarray)
    assert ppl.agreement(program).difference < 1e-5


def test_a_column_of_a_data_frame_is_a_plate_of_numbers():
    @ppl.model
    def column(x):
        with ppl.plate("rows", x) as value:
            ppl.sample("y", dist.Normal(value, 1.0))

    assert column(pd.DataFrame(X)[0]).sites["y"].dist.event_shape == ()


def test_a_specification_stands_for_data_to_come():
    program = regression(ppl.spec((3, 2)))
    assert program == regression(X)
    assert dict(program.data) == {}
    bound = program.bind(x=X)
    np.testing.assert_array_equal(bound.data["x"], X)
    assert ppl.spec(4, np.int8).dtype == "int"
    assert ppl.spec(4).shape == (4,)


def test_everything_else_is_a_setting():
    @ppl.model
    def settings(x, size, names, *more, deep=True, **rest):
        del names, more, deep, rest
        ppl.sample("a", dist.Normal(0.0, 1.0).expand([size]))

    program = settings(X, 2, ["u", "v"], 3.5, deep=False, extra=None)
    assert [i.name for i in program.inputs] == ["x"]
    assert dict(program.settings)["size"] == "2"
    assert dict(program.settings)["names"] == "['u', 'v']"
    assert dict(program.settings)["deep"] == "False"


def test_tuples_and_dicts_of_arrays_become_inputs_of_their_own():
    @ppl.model
    def parts(pair, table):
        ppl.sample("a", dist.Normal(ops.sum(pair[0]) + pair[1] + ops.sum(table["u"]), 1.0))

    program = parts((X, 2.0), {"u": X[0], "v": "text"})
    assert [i.name for i in program.inputs] == ["pair.0", "table.u"]
    assert program.parents("a") == ("pair.0", "table.u")
    assert ppl.agreement(program).difference < 1e-5


def test_default_arguments_are_part_of_the_call():
    assert dict(regression(X).settings) == {"scale": "1.0"}
    assert regression(X) != regression(X, scale=2.0)


def test_a_model_keeps_its_name_doc_and_signature():
    assert isinstance(regression, Model)
    assert regression.name == vars(regression)["__name__"] == "regression"
    assert regression.__doc__ == "A doc string."
    assert repr(regression).startswith("<model regression(x")
    assert isinstance(regression(X), Program)


def test_the_function_runs_once_and_only_when_called():
    calls: list[str] = []

    @ppl.model
    def counted():
        calls.append("call")
        ppl.sample("a", dist.Normal(0.0, 1.0))

    program = counted()
    assert calls == ["call"]
    program.to_source("numpyro")
    ppl.compile(program, "pyro").simulate((3,))
    assert calls == ["call"]


def test_a_model_inside_a_model_joins_it():
    @ppl.model
    def prior(name: str):
        return ppl.sample(name, dist.Normal(0.0, 1.0))

    @ppl.model
    def outer():
        ppl.sample("y", dist.Normal(prior("a") + prior("b"), 1.0))

    assert list(outer().sites) == ["a", "b", "y"]


def test_a_failed_call_leaves_nothing_behind():
    @ppl.model
    def broken():
        with ppl.plate("rows", size=3):
            ppl.sample("a", dist.Normal(np.zeros(2), np.ones(3)))

    for _ in range(2):
        with pytest.raises(ShapeError):
            broken()
    assert list(regression(X).sites) == ["w", "y"]


def test_two_threads_trace_apart():
    found: dict[int, list[str]] = {}

    def run(i: int) -> None:
        @ppl.model
        def own():
            for j in range(20):
                with ppl.plate(f"rows{j}", size=i + 2):
                    ppl.sample(f"x{i}_{j}", dist.Normal(0.0, 1.0))

        found[i] = list(own().sites)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {i: [f"x{i}_{j}" for j in range(20)] for i in range(4)}


def test_statements_know_their_line():
    program = regression(X)
    w, y = program.sites["w"].location, program.sites["y"].location
    assert isinstance(w, Location)
    assert w.file == __file__
    assert y is not None
    assert y.line == w.line + 2


def test_large_arrays_met_inside_a_model_become_inputs_where_a_plate_maps_over_them():
    big = np.zeros((5000, 2))

    @ppl.model
    def closure():
        with ppl.plate("rows", big) as row:
            ppl.sample("y", dist.Normal(row[0], 1.0))

    program = closure()
    assert [(i.name, i.shape) for i in program.inputs] == [("rows", (5000, 2))]
    assert program.data["rows"] is big


def test_a_program_holds_the_users_array_and_does_not_change_it():
    x = X.copy()
    program = regression(x).observe(y=np.zeros(3))
    ppl.compile(program, "pyro").simulate((2,))
    assert program.data["x"] is x
    np.testing.assert_array_equal(x, X)
