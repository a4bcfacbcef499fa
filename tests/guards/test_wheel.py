"""The wheel holds the modules of `ppl/`, all of them and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built without a network, from a copy: a build in place leaves files that the next one packs."""
    source = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "ppl", source / "ppl", ignore=shutil.ignore_patterns("__pycache__"))
    for link in ("inference", "models"):  # as in the checkout: the links must not end up in the wheel
        (source / link).symlink_to((ROOT / link).readlink())
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("credo_ppl-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_the_wheel_holds_every_module(wheel_files: set[str]):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ppl").rglob("*.py")}
    assert modules, "no files found under ppl/"
    assert {name for name in wheel_files if name.endswith(".py")} == modules


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for path in (ROOT / "ppl").rglob("*.py")}
    assert not [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()]


def test_the_wheel_says_that_it_is_typed(wheel_files: set[str]):
    assert "ppl/py.typed" in wheel_files


def test_the_wheel_installs_one_package(wheel_files: set[str]):
    assert {name.split("/")[0].partition("-")[0] for name in wheel_files} == {"ppl", "credo_ppl"}
    assert any(name.endswith("/licenses/LICENSE") for name in wheel_files)
