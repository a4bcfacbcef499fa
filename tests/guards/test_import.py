"""`import ppl` is light: no framework is loaded before it is used, and a prompt returns at once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

TORCH = {"torch", "pyro", "pyroapi"}
JAX = {"jax", "jaxlib", "numpyro", "equinox", "optax"}
ANALYSIS = {"arviz", "xarray", "pandas", "scipy", "sklearn", "matplotlib", "networkx"}
HEAVY = TORCH | JAX | ANALYSIS | {"funsor", "safetensors", "tqdm"}
# 0.3 s on a machine that imports numpy, which comes along, in 0.1 s. Seconds alone would test the machine: the same
# commit takes from 0.27 to 0.45 s on one, by what else its host does.
LIMIT = 3.0
RUNS = 5

CODE = """
import json, sys, time
start = time.process_time()
import {module}
seconds = time.process_time() - start
print(json.dumps([seconds, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


class Loaded(NamedTuple):
    """What a fresh process measured while it imported a module; `seconds` are those of the processor."""

    seconds: float
    top_level_modules: set[str]


# An installed package has its bytecode beside it; an environment that forbids writing it would time the compiler.
ENVIRONMENT = {name: item for name, item in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def load(module: str) -> Loaded:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(module=module)],
        env=ENVIRONMENT,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds, names = json.loads(done.stdout)
    return Loaded(seconds, set(names))


def test_import_loads_no_framework():
    assert not load("ppl").top_level_modules & HEAVY


def test_import_is_quick():
    # Seconds of processor time, the best of the runs, in turns: other tests keep the machine busy, and the first run
    # may have had to compile.
    pairs = [(load("ppl").seconds, load("numpy").seconds) for _ in range(RUNS)]
    ours, numpy = (min(times) for times in zip(*pairs, strict=True))
    assert ours < LIMIT * numpy, (
        f"import ppl took {ours:.3f} s, numpy {numpy:.3f} s; `python -X importtime -c 'import ppl'` shows where"
    )


def test_the_measurement_sees_a_heavy_module():
    assert load("networkx").top_level_modules & HEAVY == {"networkx"}
