"""Checkpoints: resuming gives the same fit, a killed process loses one interval, a damaged file is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ppl
from ppl.errors import FormatError
from ppl.inference import SVI, AutoNormal
from ppl.inference.checkpoint import read_checkpoint, write_checkpoint
from tests.inference.cases import BACKENDS, CASES

PROGRAM = """
import sys
import ppl
from ppl.inference import SVI, AutoNormal
from tests.inference.cases import CASES

path, backend, steps = sys.argv[1:]
method = SVI(guide=AutoNormal(), steps=int(steps), checkpoint=path, checkpoint_every=50, chunk=50, progress=False)
print("start", flush=True)
posterior = ppl.infer(CASES["regression"].build(), method, backend=backend)
print("resumed", posterior.diagnostics["resumed"], posterior.diagnostics["steps"], flush=True)
"""


def method(path: Path | None, steps: int) -> SVI:
    return SVI(
        guide=AutoNormal(), steps=steps, checkpoint=path, checkpoint_every=50, chunk=50, draws=10, progress=False
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_resumed_fit_is_the_uninterrupted_one(backend: str, tmp_path: Path) -> None:
    program = CASES["regression"].build()
    whole = ppl.infer(program, method(None, 200), backend=backend)
    path = tmp_path / "fit.npz"
    ppl.infer(program, method(path, 100), backend=backend)
    continued = ppl.infer(program, method(path, 200), backend=backend)
    assert continued.diagnostics["resumed"]
    np.testing.assert_array_equal(continued.diagnostics["objective"], whole.diagnostics["objective"])
    for name, array in whole.params.items():
        np.testing.assert_array_equal(continued.params[name], array)


@pytest.mark.parametrize("backend", BACKENDS)
def test_kill_loses_at_most_one_interval(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    command = [sys.executable, "-c", PROGRAM, str(path), backend]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen([*command, "100000000"], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        seen = -1
        # Wait until a few checkpoints have been written, then kill without warning.
        while seen < 200:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
            if path.exists():
                seen = read_checkpoint(path)[1]["step"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    arrays, facts = read_checkpoint(path)
    # The file is whole, no older than the last one seen, and holds every step up to its own.
    assert facts["step"] >= seen
    assert facts["step"] % 50 == 0
    assert len(arrays["objective"]) == facts["step"]
    steps = facts["step"] + 100
    done = subprocess.run([*command, str(steps)], env=environment, capture_output=True, text=True, check=True)
    assert f"resumed True {steps}" in done.stdout


def test_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    ppl.infer(CASES["regression"].build(), method(path, 50))
    with pytest.raises(FormatError, match="belongs to another fit"):
        ppl.infer(CASES["groups"].build(), method(path, 100))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_damaged_checkpoint_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "fit.npz"
    write_checkpoint(path, {"a": np.arange(1000.0)}, {"step": 1})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(FormatError, match="cut short or damaged"):
        read_checkpoint(path)


def test_checkpoint_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    write_checkpoint(path, {}, {"step": 1, "version": 99})
    with pytest.raises(FormatError, match="newer version"):
        read_checkpoint(path)
