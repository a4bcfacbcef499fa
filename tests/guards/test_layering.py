"""Imports point one way, and the frameworks stay behind the seam.

The rooms of `ppl/` form a stack: a room may import from the rooms below it and from itself, and from no other. Every
file is parsed, none is imported. An import counts wherever it stands: at the top, in a function, under `TYPE_CHECKING`,
or as `importlib.import_module("...")` with a literal name.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the ground up. Rooms on one floor do not import each other. "ppl" is the public surface, `ppl/__init__.py`: it
# gathers what lies below it, and the models above are written in its words.
FLOORS: list[set[str]] = [
    {"errors"},
    {"program"},
    {"language"},
    {"transforms"},
    {"causal", "knowledge"},
    {"backend"},
    {"posterior"},
    {"inference"},
    {"ppl"},
    {"models"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# The one exemption. `program.observe(...)`, `.do(...)`, `.to_source(...)` are methods for the user's convenience; each
# fetches its room when it is called. At run time the file itself, when loaded, still reaches for nothing above it.
VERBS = "ppl/program/verbs.py"

ARVIZ = {"arviz", "arviz_base", "arviz_plots", "arviz_stats"}
TORCH = {"torch", "pyro", "pyroapi"}
JAX = {"jax", "jaxlib", "numpyro", "equinox", "optax"}
FRAMEWORKS = TORCH | JAX | ARVIZ | {"funsor", "xarray"}
FRAMEWORKS_BY_ROOM = {"backend": FRAMEWORKS, "posterior": ARVIZ | {"xarray"}}

# (file, framework) -> the reason why this file may import it all the same. Keep it short; an entry without use fails.
FRAMEWORKS_ALLOWED: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class Import:
    """One imported name. `deferred`: inside a function or under `TYPE_CHECKING`, so not run when the file is loaded."""

    file: str
    line: int
    target: str
    deferred: bool

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]


def room_of(dotted: str) -> str:
    """The room a dotted name under `ppl` lies in; the public surface where it names no room."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR_OF else "ppl"


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    """Every import in a file, as absolute dotted names, module and name joined."""
    file = path.relative_to(root)
    package = file.parent.parts

    def absolute(level: int, module: str) -> str:
        base = package[: len(package) - level + 1] if level else ()
        return ".".join([*base, module] if module else base)

    def targets(node: ast.AST) -> list[str]:
        match node:
            case ast.Import(names=names):
                return [alias.name for alias in names]
            case ast.ImportFrom(level=level, module=module, names=names):
                base = absolute(level, module or "")
                return [base if alias.name == "*" else f"{base}.{alias.name}" for alias in names]
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]
            ):
                module = name.lstrip(".")
                return [absolute(len(name) - len(module), module)] if called in ("import_module", "__import__") else []
            case _:
                return []

    def visit(node: ast.AST, deferred: bool) -> Iterator[Import]:
        for target in targets(node):
            yield Import(file.as_posix(), getattr(node, "lineno", 0), target, deferred)
        deferred |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = node.body if isinstance(node, ast.If) and is_type_checking(node.test) else []
        for child in ast.iter_child_nodes(node):
            yield from visit(child, deferred or child in typing_only)

    yield from visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(file)), False)


def is_type_checking(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    return ast.unparse(test).split(".")[-1] == "TYPE_CHECKING"


def files_under(root: Path) -> list[Path]:
    return sorted((root / "ppl").rglob("*.py"))


def layering_violations(root: Path) -> list[str]:
    """One line for each import under `root/ppl` that does not point down."""
    violations: list[str] = []
    for path in files_under(root):
        file = path.relative_to(root).as_posix()
        own = "ppl" if file == "ppl/__init__.py" else file.split("/")[1].removesuffix(".py")
        if own not in FLOOR_OF:
            violations.append(f"{file}: stands in no room; the rooms are {', '.join(sorted(FLOOR_OF))}")
            continue
        for found in imports_of(path, root):
            target = room_of(found.target)
            if found.top != "ppl" or target == own or FLOOR_OF[target] < FLOOR_OF[own]:
                continue
            if file == VERBS and found.deferred:
                continue
            where = "beside" if FLOOR_OF[target] == FLOOR_OF[own] else "above"
            violations.append(f"{file}:{found.line}: imports {found.target}; {target!r} stands {where} {own!r}")
    return violations


def framework_uses(root: Path) -> dict[tuple[str, str], int]:
    """Each use of a framework by a file outside the rooms that own it: (file, framework) -> line of the first."""
    uses: dict[tuple[str, str], int] = {}
    for path in files_under(root):
        for found in imports_of(path, root):
            own = FRAMEWORKS_BY_ROOM.get(found.file.split("/")[1], set())
            if found.top in FRAMEWORKS - own:
                uses.setdefault((found.file, found.top), found.line)
    return uses


def test_imports_point_one_way():
    assert files_under(ROOT), "no files found under ppl/"
    assert not (violations := layering_violations(ROOT)), "\n" + "\n".join(violations)


def test_frameworks_stay_behind_the_seam():
    uses = framework_uses(ROOT).items()
    violations = [f"{use[0]}:{line}: imports {use[1]}" for use, line in uses if use not in FRAMEWORKS_ALLOWED]
    assert not violations, "\n" + "\n".join(violations)


def test_every_allowed_framework_import_is_used_and_has_a_reason():
    assert FRAMEWORKS_ALLOWED.keys() <= framework_uses(ROOT).keys()
    assert all(reason.strip() for reason in FRAMEWORKS_ALLOWED.values())


# The checks themselves, on planted trees: each mistake is found, and its lawful neighbour is not.


def plant(root: Path, file: str, text: str) -> Path:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return root


UPWARD = [
    ("ppl/language/core.py", "import ppl.inference", "ppl.inference"),
    ("ppl/language/core.py", "import ppl.inference.svi as svi", "ppl.inference.svi"),
    ("ppl/language/core.py", "from ppl import models", "ppl.models"),
    ("ppl/language/core.py", "from ppl.backend.emit import emit", "ppl.backend.emit.emit"),
    ("ppl/language/core.py", "from ppl.backend import *", "ppl.backend"),
    ("ppl/language/core.py", "from ..backend import emit", "ppl.backend.emit"),
    ("ppl/language/dist/core.py", "from ... import posterior", "ppl.posterior"),
    ("ppl/language/core.py", "import ppl", "ppl"),
    ("ppl/language/core.py", "from ppl import infer", "ppl.infer"),
    ("ppl/language/core.py", "def f():\n    from ppl.backend import emit", "ppl.backend.emit"),
    ("ppl/language/core.py", "class A:\n    def f(self):\n        import ppl.models", "ppl.models"),
    ("ppl/language/core.py", "try:\n    import ppl.causal\nexcept ImportError:\n    pass", "ppl.causal"),
    ("ppl/language/core.py", "if TYPE_CHECKING:\n    from ppl.posterior import Posterior", "ppl.posterior.Posterior"),
    ("ppl/language/core.py", "import importlib\nimportlib.import_module('ppl.models')", "ppl.models"),
    (
        "ppl/language/__init__.py",
        "from importlib import import_module\nimport_module('..models', __name__)",
        "ppl.models",
    ),
    ("ppl/causal/core.py", "from ppl.knowledge import logic", "ppl.knowledge.logic"),
    ("ppl/knowledge/core.py", "from ppl.causal import worlds", "ppl.causal.worlds"),
    ("ppl/errors.py", "from ppl.program import nodes", "ppl.program.nodes"),
    ("ppl/__init__.py", "from . import models as models", "ppl.models"),
    ("ppl/program/verbs.py", "from ppl.backend import emit", "ppl.backend.emit"),
    ("ppl/program/nodes.py", "def f():\n    from ppl.backend import emit", "ppl.backend.emit"),
]


@pytest.mark.parametrize(("file", "text", "target"), UPWARD)
def test_a_planted_upward_import_is_found(tmp_path: Path, file: str, text: str, target: str):
    (violation,) = layering_violations(plant(tmp_path, file, text))
    assert violation.startswith(f"{file}:")
    assert f"imports {target};" in violation


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("ppl/inference/svi.py", "from ppl.posterior import Posterior\nfrom ppl.program import Program"),
        (
            "ppl/inference/svi.py",
            "from . import kernel\nfrom .kernel import run\nfrom ppl.inference.choose import choose",
        ),
        ("ppl/language/dist/core.py", "from ppl.language import tracing\nfrom ppl.errors import PPLError"),
        ("ppl/models/autoencoders.py", "import ppl\nfrom ppl import dist, nn, ops\nfrom ppl.inference import SVI"),
        ("ppl/__init__.py", "from . import errors as errors\nfrom .inference import infer as infer"),
        ("ppl/program/verbs.py", "def do(self):\n    from ppl.transforms import do\n    return do(self)"),
        ("ppl/program/verbs.py", "if TYPE_CHECKING:\n    from ppl.backend import Compiled"),
        ("ppl/backend/pyro.py", "import pyro\nimport torch\nfrom . import numpyro"),
        ("ppl/language/core.py", "import numpy as np\nimport models_of_something_else"),
    ],
)
def test_a_lawful_import_passes(tmp_path: Path, file: str, text: str):
    root = plant(tmp_path, file, text)
    assert layering_violations(root) == []
    assert framework_uses(root) == {}


def test_a_planted_file_outside_the_rooms_is_found(tmp_path: Path):
    (violation,) = layering_violations(plant(tmp_path, "ppl/utils.py", ""))
    assert violation.startswith("ppl/utils.py: stands in no room")


@pytest.mark.parametrize(
    ("file", "text", "framework"),
    [
        ("ppl/inference/svi.py", "import jax.numpy as jnp", "jax"),
        ("ppl/inference/svi.py", "from torch import nn", "torch"),
        ("ppl/inference/svi.py", "def f():\n    import optax", "optax"),
        ("ppl/language/core.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpyro", "numpyro"),
        ("ppl/program/verbs.py", "def f():\n    import pyro", "pyro"),
        ("ppl/program/nodes.py", "from importlib import import_module\nimport_module('equinox')", "equinox"),
        ("ppl/posterior/saving.py", "import funsor", "funsor"),
        ("ppl/transforms/observe.py", "import xarray", "xarray"),
    ],
)
def test_a_planted_framework_import_is_found(tmp_path: Path, file: str, text: str, framework: str):
    assert list(framework_uses(plant(tmp_path, file, text))) == [(file, framework)]


def test_the_posterior_may_use_arviz_and_xarray(tmp_path: Path):
    plant(tmp_path, "ppl/posterior/saving.py", "import arviz\nimport xarray as xr\nimport arviz_base")
    assert framework_uses(tmp_path) == {}
