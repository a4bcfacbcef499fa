"""Rules of the source tree: files stay short, module names stay free, and every tool sees every file."""

import ast
import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 500


def long_files(folder: Path) -> list[str]:
    """Files of more than `MAX_LINES` lines."""
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(folder.rglob("*.py"))}
    return [f"{path.relative_to(folder)}: {count} lines" for path, count in counts.items() if count > MAX_LINES]


def names_defined(source: str) -> set[str]:
    """Names that a module defines at its top level or lists in `__all__`."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names |= set(ast.literal_eval(value))
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return names


def shadowed_modules(folder: Path) -> list[str]:
    """Modules named as an object that they, or their package, export: `import a.b` would then yield the object."""
    shadowed: list[str] = []
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if path.name != "__init__.py":
            hidden = {path.stem} & names_defined(source)
        else:
            # `from . import vaes` binds the module itself; `from .vaes import vae as vaes` would bind another object.
            siblings = {child.stem for child in path.parent.iterdir()} - {"__init__", "__pycache__"}
            objects = {
                alias.asname or alias.name
                for node in ast.parse(source).body
                if isinstance(node, ast.ImportFrom) and node.module
                for alias in node.names
            }
            hidden = siblings & (objects | (names_defined(source) - names_of_submodules(source)))
        shadowed += [f"{path.relative_to(folder)}: {name}" for name in sorted(hidden)]
    return shadowed


def names_of_submodules(source: str) -> set[str]:
    """Names that `from . import name` binds: the submodules themselves, which `__all__` may list."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom) and not node.module]
    return {alias.name for node in nodes for alias in node.names}


def test_no_file_is_too_long():
    assert list((ROOT / "ppl").rglob("*.py")), "no files found under ppl/"
    assert not long_files(ROOT / "ppl")


def test_no_model_hides_its_module():
    assert list((ROOT / "ppl" / "models").rglob("*.py")), "no files found under ppl/models/"
    assert not shadowed_modules(ROOT / "ppl" / "models")


def test_the_links_show_two_rooms_at_the_top():
    # Relative, so that a clone anywhere has them.
    assert {name: os.readlink(ROOT / name) for name in ("inference", "models")} == {
        "inference": "ppl/inference",
        "models": "ppl/models",
    }


# The usual exclude lists of tools hold "dist" and "build", and match them at any depth: ppl/language/dist would go
# unchecked without a word.


def test_ruff_sees_every_file():
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", "."],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = {Path(line) for line in done.stdout.splitlines()}
    expected = {path for folder in ("ppl", "tests") for path in (ROOT / folder).rglob("*.py")}
    assert expected <= seen
    assert not [path for path in seen if path.relative_to(ROOT).parts[0] in ("inference", "models", ".venv")]


def test_pytest_enters_every_folder(pytestconfig: pytest.Config):
    patterns: list[str] = pytestconfig.getini("norecursedirs")
    names = {part for path in (ROOT / "ppl").rglob("*.py") for part in path.relative_to(ROOT).parent.parts}
    assert not {name for name in names for pattern in patterns if fnmatch(name, pattern)}


def test_a_planted_long_file_is_found(tmp_path: Path):
    (tmp_path / "short.py").write_text("x = 1\n" * MAX_LINES)
    (tmp_path / "long.py").write_text("x = 1\n" * (MAX_LINES + 1))
    assert long_files(tmp_path) == ["long.py: 501 lines"]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"vaes.py": "def vae(): ...", "__init__.py": "from .vaes import vae as vae\n__all__ = ['vae']"}, []),
        ({"vaes.py": "", "__init__.py": "from . import vaes as vaes\n__all__ = ['vaes']"}, []),
        ({"vae.py": "def vae(): ..."}, ["vae.py: vae"]),
        ({"vae.py": "vae = model(f)"}, ["vae.py: vae"]),
        ({"vae.py": "from .core import make as vae\n__all__ = ['vae']"}, ["vae.py: vae"]),
        ({"vae.py": "", "__init__.py": "from .core import vae as vae"}, ["__init__.py: vae"]),
        ({"vae.py": "", "__init__.py": "def vae(): ..."}, ["__init__.py: vae"]),
    ],
)
def test_a_planted_shadowed_module_is_found(tmp_path: Path, files: dict[str, str], found: list[str]):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert shadowed_modules(tmp_path) == found
