"""The public names of `ppl` are one literal list, written here once more, so that no name comes or goes unnoticed."""

import ast
import tomllib
from pathlib import Path

import pytest

import ppl

ROOT = Path(__file__).resolve().parents[2]

# ---- the public names: keep them complete and in ASCII order -------------------------------------------------------
PUBLIC = [
    "Posterior",
    "Program",
    "agreement",
    "calibrate",
    "compile",
    "deterministic",
    "dist",
    "eject",
    "errors",
    "external",
    "factor",
    "gradient_report",
    "infer",
    "inference",
    "latent_report",
    "log_evidence_bound",
    "model",
    "nn",
    "ops",
    "param",
    "plate",
    "sample",
    "scan",
    "simulate",
    "spec",
]
# --------------------------------------------------------------------------------------------------------------------


def oddities(source: str) -> list[str]:
    """What an `__init__.py` holds beside its docstring, plain imports, and literal `__all__` and `__version__`."""
    body = ast.parse(source).body
    odd = [] if ast.get_docstring(ast.Module(body, [])) else ["line 1: no docstring"]
    bound: set[str] = set()
    listed: list[str] = []
    for position, node in enumerate(body):
        match node:
            case ast.Expr(value=ast.Constant(value=str())) if position == 0:
                pass
            case ast.ImportFrom(module="__future__"):
                pass
            case ast.Import(names=names) | ast.ImportFrom(names=names) if all(alias.name != "*" for alias in names):
                bound |= {alias.asname or alias.name for alias in names}
            case ast.Assign(targets=[ast.Name(id="__version__")], value=ast.Constant(value=str())):
                pass
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=elements)) if all(
                isinstance(element, ast.Constant) for element in elements
            ):
                listed = ast.literal_eval(node.value)
            case _:
                odd.append(f"line {node.lineno}: {ast.unparse(node).splitlines()[0]}")
    odd += [f"{name}: imported, not in __all__" for name in sorted(bound - set(listed))]
    odd += [f"{name}: in __all__, not imported" for name in sorted(set(listed) - bound)]
    odd += [f"{name}: twice in __all__" for name in sorted({name for name in listed if listed.count(name) > 1})]
    return odd


def test_the_list_is_in_order():
    assert sorted(set(PUBLIC)) == PUBLIC


def test_the_package_offers_exactly_the_listed_names():
    assert sorted(ppl.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_is_there_and_documented(name: str):
    assert getattr(ppl, name).__doc__


def test_the_package_file_computes_nothing():
    assert not oddities((ROOT / "ppl" / "__init__.py").read_text(encoding="utf-8"))


def test_the_version_is_the_distribution_s():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ppl.__version__ == project["version"]


GOOD = '"""Doc."""\n\nfrom .language import model as model\n\n__all__ = ["model"]\n__version__ = "1.0"\n'


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (GOOD, []),
        (GOOD.replace('"""Doc."""', ""), ["line 1: no docstring"]),
        (GOOD + "if True:\n    pass\n", ["line 7: if True:"]),
        (GOOD + "def __getattr__(name): ...\n", ["line 7: def __getattr__(name):"]),
        (GOOD + "__all__ += ['x']\n", ["line 7: __all__ += ['x']"]),
        (GOOD + "from .nn import *\n", ["line 7: from .nn import *"]),
        (GOOD + "from .nn import MLP as MLP\n", ["MLP: imported, not in __all__"]),
        (GOOD.replace('["model"]', '["model", "plate"]'), ["plate: in __all__, not imported"]),
        (GOOD.replace('["model"]', '["model", "model"]'), ["model: twice in __all__"]),
        (GOOD.replace('"1.0"', "version('credo-ppl')"), ["line 6: __version__ = version('credo-ppl')"]),
    ],
)
def test_a_planted_oddity_is_found(planted: str, found: list[str]):
    assert oddities(planted) == found
