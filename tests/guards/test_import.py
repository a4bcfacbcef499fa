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
LIMIT_SECONDS = 0.3
# What numpy takes, which comes along, on a machine for which that limit is meant. Hosts slow down by half and more for
# hours: on a slower one the limit grows in proportion; on a faster one it stays.
NUMPY_SECONDS = 0.08
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
    limit = LIMIT_SECONDS * max(1.0, numpy / NUMPY_SECONDS)
    assert ours < limit, (
        f"import ppl took {ours:.3f} s of {limit:.3f}, numpy {numpy:.3f}; "
        "`python -X importtime -c 'import ppl'` shows where"
    )


def test_the_measurement_sees_a_heavy_module():
    assert load("networkx").top_level_modules & HEAVY == {"networkx"}
