"""Ejected programs run in a process where Credo cannot be imported, and have the densities that Credo computes."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.backend.compiled import Compiled
from ppl.backend.families import Library
from ppl.backend.module_text import ARRAY_LIBRARY, helper_file, helpers_for, import_text, module_text
from ppl.backend.native import NativeEmitter
from ppl.backend.native_names import native_owners, native_values
from ppl.backend.stored import Stored
from ppl.errors import ModelError, ShapeError, UnknownNameError, UnsupportedByBackend
from ppl.inference import SVI, AutoNormal
from ppl.program.program import Program
from tests.backend.golden_models import GOLDEN
from tests.models.cases import CASES, GUIDES

BACKENDS: tuple[Library, ...] = ("numpyro", "pyro")
RUNNER = Path(__file__).with_name("run_ejected.py")
NUMBERS = np.random.default_rng(11)
ROWS = NUMBERS.normal(size=(5, 4, 3))
PICK = np.array([2, 0, 1, 2, 2])
# Code of a user's own, in a file that another file can import.
OWN = """
import numpy as np


def make_torch():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def make_jax(key):
    import equinox as eqx

    return eqx.nn.MLP(3, 2, 4, 1, key=key)


def squared(x):
    return x**2


def rows_shifted(x, shift):
    return x + shift
"""


@ppl.model
def layers(rows, pick):
    """Networks that are functions of their weights, helpers, and a site that bears the name of a helper."""
    net, block = nn.GRU("net", 3, 3), nn.TransformerBlock("block", 3)
    gather = ppl.sample("gather", dist.LogNormal(0.0, 1.0))
    scan = ppl.sample("scan", dist.Normal(0.0, 1.0).expand([4]))
    with ppl.plate("rows", (rows, pick)) as (row, i):
        w = ppl.sample("w", dist.Normal(0.0, 1.0).expand([3]))
        scale = ops.softplus(gather) + ops.exp(ops.cummax(w, axis=-1)[i])
        ppl.sample("y", dist.Normal(block(net(row)), scale))
        ppl.sample("z", dist.Normal(ops.prod(scan[:2]) * gather, scale))


def own(rows: np.ndarray, library: Any) -> Program:
    @ppl.model
    def own(rows):
        net = nn.module("net", torch=library.make_torch, jax=library.make_jax, out_shape=2)
        square = ppl.external("square", torch=library.squared, jax=library.squared, shape=3)
        shift = ppl.external("shift", torch=library.rows_shifted, jax=library.rows_shifted, shape=2, batched=True)
        with ppl.plate("rows", rows) as row:
            a = ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]))
            ppl.sample("y", dist.Normal(shift(net(square(row)), a), 1.0))

    return own(rows)


# What a library cannot say; a program leaves this list when it can.
REFUSED: dict[tuple[str, str], str] = {
    ("numpyro", "zoo_backward_guide"): "a scan from the last step to the first as a native model is not supported",
    ("pyro", "zoo_backward_guide"): "parameter 'gain' of each step as a native model is not supported",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A module of the user's own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_code.py").write_text(OWN)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("own_code")
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def programs(library: Any) -> dict[str, Program]:
    builders: dict[str, Callable[[], Program]] = {f"zoo_{n}": f for n, f in CASES.items()}
    builders |= {f"zoo_{n}": f for n, (_, f) in GUIDES.items()}
    builders |= {f"golden_{n}": GOLDEN[n][0] for n in ("growth", "item_response", "factors_guide")}
    builders |= {"layers": lambda: layers(ROWS, PICK).observe(y=ROWS), "own": lambda: own(ROWS[:, 0], library)}
    return {name: build() for name, build in builders.items()}


def weights_of(program: Program, side: Compiled) -> dict[str, np.ndarray]:
    """Parameters that are not those which the text itself would start from."""
    generator = np.random.default_rng(5)
    free = {n for n, p in program.params.items() if p.support.kind == "real"}
    free |= {n for n in side.params if n not in program.params}
    return {n: a + 0.1 * generator.normal(size=a.shape) if n in free else a for n, a in side.params.items()}


@pytest.fixture(scope="module", params=BACKENDS)
def run(request: pytest.FixtureRequest, programs: dict[str, Program], library: Any, tmp_path_factory: Any) -> Any:
    """What the library says in a process of its own, and what Credo says: log densities by site, by program."""
    backend, folder = request.param, tmp_path_factory.mktemp(request.param)
    expected: dict[str, dict[str, float]] = {}
    for name, program in programs.items():
        if (backend, name) in REFUSED:
            continue
        side = ppl.compile(program, backend, precision="float64")
        # The pure functions agree on both backends, which other tests hold; torch needs no time to compile them.
        pure = side if name == "own" else ppl.compile(program, "pyro", precision="float64")
        params = weights_of(program, pure)
        draws = {n: pure.backend.to_numpy(v) for n, v in pure.simulate(params=params, observed=True).items()}
        values = {n: draws[n] for n in program.latents}
        terms = pure.log_density(values, params, by_site=True)
        expected[name] = {n: float(pure.plate_total(n, t)) for n, t in terms.items()}
        file = ppl.eject(program, folder / name, backend=backend, precision="float64", params=params)
        assert file == folder / f"{name}.py"
        arrays = {f"argument/{k}": side.backend.to_numpy(v) for k, v in side.model_data.items()}
        native = native_values(program, values, stacked=backend == "numpyro")
        arrays |= {f"value/{n}": v for n, v in native.items()}
        np.savez(folder / f"{name}.inputs.npz", allow_pickle=False, **arrays)
    # Each model is compiled for one evaluation: XLA shall not spend time on making that fast.
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    environment = {**os.environ, **quick, "PYTHONPATH": str(Path(library.__file__).parent)}
    command = [sys.executable, "-W", "error::ResourceWarning", str(RUNNER), backend, str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, float]] = {}
    for name, densities in json.loads((folder / "densities.json").read_text()).items():
        owner = native_owners(programs[name])
        found[name] = {}
        for site, value in densities.items():
            whole = owner.get(site) or site
            found[name][whole] = found[name].get(whole, 0.0) + value
    return backend, folder, expected, found


def test_ejected_files_have_the_densities_of_the_program(run: Any, programs: dict[str, Program]) -> None:
    backend, _, expected, found = run
    assert found.keys() == expected.keys() == {n for n in programs if (backend, n) not in REFUSED}
    for name, terms in expected.items():
        assert found[name].keys() == terms.keys(), name
        for site, value in terms.items():
            np.testing.assert_allclose(found[name][site], value, rtol=1e-9, atol=1e-9, err_msg=f"{name} {site}")


def test_ejected_files_import_the_library_alone(run: Any) -> None:
    backend, folder, *_ = run
    array = ARRAY_LIBRARY[backend]
    allowed = {backend, array, "numpy", "own_code"} | ({"equinox"} if array == "jax" else set())
    files = sorted(folder.glob("*.py"))
    assert files
    for file in files:
        tree = ast.parse(file.read_text())
        imports = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
        modules = {
            module.split(".")[0]
            for n in imports
            for module in ([a.name for a in n.names] if isinstance(n, ast.Import) else [str(n.module)])
        }
        assert modules - set(sys.stdlib_module_names) <= allowed, file.name
        bound = {a.asname or a.name.split(".")[0] for n in imports for a in n.names}
        assert bound <= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}, file.name


def test_only_programs_with_values_have_a_file_of_arrays(run: Any, programs: dict[str, Program]) -> None:
    _, folder, expected, _ = run
    for name in expected:
        program = programs[name]
        has = bool(program.params) or any(n.trained for n in program.networks.values())
        assert (folder / f"{name}.npz").exists() == has, name
        assert ("np.load(" in (folder / f"{name}.py").read_text()) == has, name


def test_what_is_refused_is_refused_for_the_reason_given(programs: dict[str, Program], tmp_path: Path) -> None:
    for (backend, name), reason in REFUSED.items():
        with pytest.raises(UnsupportedByBackend, match=reason):
            ppl.eject(programs[name], tmp_path / "refused.py", backend=backend)


def test_the_guard_refuses_credo(tmp_path: Path) -> None:
    """The process of the runner finds no Credo, even where it is installed."""
    (tmp_path / "cheat.py").write_text("import ppl\n")
    np.savez(tmp_path / "cheat.inputs.npz")
    command = [sys.executable, str(RUNNER), "pyro", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "ModuleNotFoundError: ppl is absent" in done.stderr


# --- the files --------------------------------------------------------------------------------------------------------


def test_the_text_is_that_of_to_source_and_says_what_it_takes(tmp_path: Path) -> None:
    program = CASES["eight_schools"]()
    text = ppl.eject(program, tmp_path / "schools.py", backend="pyro").read_text()
    assert text.endswith("\n\n" + program.to_source("pyro"))
    assert text.startswith('"""eight_schools for Pyro, written by Credo.\n')
    assert "    standard_errors  float[8]\n" in text
    assert "    effect           float[8]: data of site 'effect', which is drawn if it is None\n" in text
    assert not (tmp_path / "schools.npz").exists()


def test_a_fit_is_ejected_with_what_it_learnt(tmp_path: Path) -> None:
    program = CASES["ppca"]()
    fit = ppl.infer(program, SVI(guide=AutoNormal(), steps=3), backend="pyro")
    file = ppl.eject(program, tmp_path / "ppca", backend="pyro", params=fit.params)
    with np.load(file.with_suffix(".npz")) as stored:
        assert set(stored) == {"loadings", "mean", "noise"}
        for name in stored:
            np.testing.assert_array_equal(stored[name], fit.params[name].astype("float32"))
    assert (
        'pyro.param("noise", torch.tensor(STORED["noise"]), constraint=dist.constraints.positive)' in file.read_text()
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_site_called_stored_keeps_its_name(backend: str, tmp_path: Path) -> None:
    @ppl.model
    def model():
        mean = ppl.param("mean", 0.0)
        ppl.sample("STORED", dist.Normal(mean, 1.0))

    text = ppl.eject(model(), tmp_path / "model", backend=backend).read_text()
    assert f'{backend}.sample("STORED", ' in text and "STORED_2 = dict(np.load(" in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_parameters_are_checked(backend: str, tmp_path: Path) -> None:
    program = CASES["ppca"]()
    with pytest.raises(UnknownNameError, match="there is no parameter 'loading'"):
        ppl.eject(program, tmp_path / "a", backend=backend, params={"loading": np.eye(13, 2)})
    with pytest.raises(ShapeError, match="parameter 'loadings' is given with the wrong shape"):
        ppl.eject(program, tmp_path / "a", backend=backend, params={"loadings": np.eye(2)})
    with pytest.raises(UnknownNameError, match="there is no backend 'stan'"):
        ppl.eject(program, tmp_path / "a", backend="stan")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", BACKENDS)
def test_code_that_no_file_can_import_is_refused(backend: Library, tmp_path: Path) -> None:
    @ppl.model
    def with_module(rows):
        net = nn.module("net", torch=lambda: None, jax=lambda key: None, out_shape=2)
        with ppl.plate("rows", rows) as row:
            ppl.sample("y", dist.Normal(net(row), 1.0))

    @ppl.model
    def with_function(rows):
        double = ppl.external("double", torch=lambda x: 2 * x, jax=lambda x: 2 * x, shape=3)
        with ppl.plate("rows", rows) as row:
            ppl.sample("y", dist.Normal(double(row), 1.0))

    with pytest.raises(ModelError, match="external 'double': an ejected file cannot import your function") as caught:
        ppl.eject(with_function(ROWS[:, 0]), tmp_path / "a", backend=backend)
    assert caught.value.got is not None and "<lambda> of tests.backend.test_ejection" in caught.value.got
    assert caught.value.declared_at is not None and "top level" in str(caught.value.remedy)
    with pytest.raises(ModelError, match="network 'net': an ejected file cannot import your factory"):
        # A module is looked at when compiling, which these would not survive.
        NativeEmitter(with_module(ROWS[:, 0]), backend, Stored(backend, "a.npz", "STORED")).source("model")
    assert not list(tmp_path.iterdir())


# --- helpers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_helper_can_be_written_out(backend: Library) -> None:
    """What native text may call reaches no code of Credo's; a user's modules and draws from keys do not occur there."""
    for file in ("modules", "runtime"):
        module = f"{ARRAY_LIBRARY[backend]}_{file}"
        source = helper_file(module)
        for name in {*source.definitions, *source.siblings} - {"call_network", "check_rows"}:
            definitions, imports = helpers_for([(module, name)])
            text = "\n\n".join([import_text(imports), *(d.text for d in definitions)])
            assert definitions[-1].name == name
            compile(text, name, "exec")
            assert not re.search(r"\bppl\b", text)


def test_a_helper_gives_way_to_a_variable_and_to_an_import() -> None:
    text = module_text(
        "pyro", ["def model(gather):\n    return runtime.gather(gather, gather.x, 1, runtime.prod(gather, (0,)))"]
    )
    assert "def _gather(" in text and "def prod(" in text and text.startswith("from collections.abc import Sequence\n")
    assert "return _gather(gather, gather.x, 1, prod(gather, (0,)))" in text
    text = module_text("numpyro", ["def model(x):\n    return scan(x, runtime.scan(x))"])
    assert "return scan(x, _scan(x))" in text and "from numpyro.contrib.control_flow import scan" in text


def test_only_names_are_replaced() -> None:
    text = module_text("numpyro", ['def model(é):\n    return "runtime.prod", é, runtime.diag_embed(é), é.runtime'])
    assert 'return "runtime.prod", é, diag_embed(é), é.runtime' in text


def test_imports_stand_in_the_usual_order() -> None:
    lines = {
        "import torch",
        "from torch import Tensor",
        "import math",
        "import torch.nn.functional as F",
        "from typing import Any",
        "from collections.abc import Sequence",
        "from collections.abc import Callable",
    }
    assert import_text(lines).split("\n") == [
        "import math",
        "from collections.abc import Callable, Sequence",
        "from typing import Any",
        "",
        "import torch",
        "import torch.nn.functional as F",
        "from torch import Tensor",
    ]
