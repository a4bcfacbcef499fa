"""Candidates, cases and targets; interleaved timing; peak memory.

Imports neither torch nor jax: the parent process must stay small and quick, and each case runs in a process of its own
that loads one framework only. So thread pools of two frameworks never compete, and a ratio never crosses processes.
"""

import gc
import math
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .judging import LOOKS, Verdict, decide, differences, ratios
from .programs import Program, Ran, fingerprint

Framework = Literal["jax", "torch", "process"]


Block = Callable[[], Ran]


@dataclass(frozen=True)
class Candidate:
    """One way to do the work.

    `setup(steps)` prepares everything (data, parameters, compilation happens on the first call) and returns a block: a
    callable that takes `steps` further steps, and returns when the results are ready. `steps` is the block's length
    when timed, chosen per candidate so that a block lasts some tenths of a second.
    """

    name: str
    setup: Callable[[int], Block]
    steps: int


@dataclass(frozen=True)
class Target:
    """A bound on candidate `ours`: relative to `peer`, `limit` bounds ours / peer; `kind` says what else it may be."""

    ours: str
    peer: str
    limit: float
    kind: Literal["ratio", "seconds more", "seconds", "memory", "memory above data"] = "ratio"

    def describe(self) -> str:
        """The bound in words."""
        match self.kind:
            case "seconds more":
                return f"≤ {self.peer} + {self.limit:g} s"
            case "seconds":
                return f"≤ {self.limit:g} s"
            case "memory":
                return f"peak memory ≤ {self.limit:g} × {self.peer}"
            case "memory above data":
                return f"peak memory above framework and data ≤ {self.limit:g} × {self.peer}"
            case _ if self.limit < 0.9:
                return f"{1 / self.limit:.3g} × faster than {self.peer}"
            case _:
                return f"≤ {self.limit:g} × {self.peer}"


@dataclass(frozen=True)
class Case:
    """Candidates that do the same work in one process, and the bounds that ours should keep.

    `candidates` is called in the worker, where it may import its framework.
    """

    name: str
    framework: Framework
    threads: int
    candidates: Callable[[], list[Candidate]]
    targets: tuple[Target, ...] = ()
    unit: str = "step"
    check_steps: int = 0  # 0: nothing to compare
    check_slack: float = 0.0  # relative difference of losses that is put down to chance beyond their errors
    memory: tuple[str, ...] = ()  # candidates whose peak memory is measured, each in a process of its own
    prepare: Callable[[], object] = lambda: None  # loads framework and data, which peak memory is also given without
    rounds: int = 15  # before the first look; twice and four times as many where that leaves a bound open


@dataclass
class Timing:
    """Measured seconds per step, by the clock and of CPU, one entry a round, or why there are none.

    `program` is the fingerprint of the compiled program, where a block tells it.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    loss: float = math.nan
    loss_error: float = math.nan
    peak_mib: float = math.nan
    peak_above_data_mib: float = math.nan
    missing: str = ""
    program: str = ""

    @property
    def median(self) -> float:
        """Median seconds per step."""
        return statistics.median(self.seconds) if self.seconds else math.nan


def measure(case: Case, *, quick: bool = False) -> list[Timing]:
    """Run every candidate from its start until its losses can be compared, then time all of them round-robin."""
    timings, blocks = [], []
    for candidate in case.candidates():
        timing = Timing(candidate.name)
        timings.append(timing)
        try:
            block = candidate.setup(max(1, candidate.steps // 10) if quick else candidate.steps)
            record_losses(block, timing, case.check_steps // (10 if quick else 1))
        except NotImplementedError as error:
            timing.missing = str(error) or "not yet"
        except Exception as error:  # noqa: BLE001  (a broken peer must not hide the others: its row shows the error)
            timing.missing = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            blocks.append((timing, block))
            if isinstance(block, Program):
                timing.program = fingerprint(block.text())
    if quick:
        run_rounds(blocks, 3)
        return timings
    run_rounds(blocks, case.rounds)
    for look in range(1, LOOKS):
        # Only who is in an open bound goes on: the others have shown what there is to see.
        wanted = {n for t in case.targets if verdict(t, timings) == "open" for n in (t.ours, t.peer)}
        if wanted:
            run_rounds([b for b in blocks if b[0].name in wanted], case.rounds * 2 ** (look - 1))
    return timings


def run_rounds(blocks: Sequence[tuple[Timing, Block]], rounds: int) -> None:
    """Let all candidates run a block each, `rounds` times over."""
    for number in range(rounds):
        # Every second round runs backwards, so that no candidate always follows the same other one.
        for timing, block in blocks if number % 2 else reversed(blocks):
            gc.collect()
            start, start_cpu = time.perf_counter(), time.process_time()
            ran = block()
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
            if ran.seconds is None:
                timing.cpu_seconds.append(cpu_seconds / ran.steps)
            timing.seconds.append((seconds if ran.seconds is None else ran.seconds) / ran.steps)


def verdict(target: Target, timings: Sequence[Timing]) -> Verdict | None:
    """Whether a bound is kept; None where one of its candidates was not measured."""
    by_name = {t.name: t for t in timings}
    ours, peer = by_name.get(target.ours), by_name.get(target.peer)
    if ours is None or ours.missing or (target.peer and (peer is None or peer.missing)):
        return None
    if target.kind == "seconds":
        return decide(ours.seconds, target.limit)
    assert peer is not None
    if target.kind == "seconds more":
        return decide(differences(ours.seconds, peer.seconds), target.limit)
    if target.kind == "ratio":
        if ours.program and ours.program == peer.program:
            return "yes" if target.limit >= 1 else "no"
        return decide(ratios(ours.seconds, peer.seconds), target.limit)
    # Memory is measured once, and hardly varies.
    above = target.kind == "memory above data"
    a, b = ((t.peak_above_data_mib if above else t.peak_mib) for t in (ours, peer))
    return None if math.isnan(a / b) else "yes" if a / b <= target.limit else "no"


def record_losses(block: Block, timing: Timing, steps: int) -> None:
    """Run blocks, the first of which compiles; record the mean of the second half of `steps` losses, and its error."""
    losses: list[float] = [float(loss) for loss in block().losses]
    while losses and len(losses) < steps:
        losses += [float(loss) for loss in block().losses]
    tail = losses[steps // 2 : steps]
    if len(tail) > 1:
        timing.loss = statistics.fmean(tail)
        # Batch means: draws of a Markov chain and losses of neighbouring steps are correlated.
        size = max(1, len(tail) // 20)
        means = [statistics.fmean(tail[i : i + size]) for i in range(0, len(tail) - size + 1, size)]
        timing.loss_error = statistics.stdev(means) / math.sqrt(len(means))


def agree(a: Timing, b: Timing, slack: float) -> bool:
    """Whether two mean losses differ by less than five standard errors, or than a relative slack."""
    allowed = max(5 * math.hypot(a.loss_error, b.loss_error), (slack + 1e-5) * abs(b.loss))
    return abs(a.loss - b.loss) <= allowed


def measure_memory(case: Case, name: str) -> dict[str, Any]:
    """Peak memory of this process, which must be fresh, after one block of a candidate."""
    (candidate,) = [c for c in case.candidates() if c.name == name]
    case.prepare()
    before = peak_mib()
    try:
        candidate.setup(min(candidate.steps, 10))()
    except NotImplementedError as error:
        return {"missing": str(error) or "not yet"}
    peak = peak_mib()
    return {"peak_mib": peak, "peak_above_data_mib": peak - before}


def peak_mib() -> float:
    """Largest resident set so far, in MiB.

    Linux hands this figure down to a child, so a worker's is meaningful only because its parent is small.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def environment(case: Case) -> dict[str, str]:
    """Environment of a worker: thread counts must be known before a framework loads.

    OpenMP's threads wait passively. By default they spin, and as soon as anything else wants one of two cores, a
    two-thread torch step takes ten to forty times as long: that would measure the neighbours.
    """
    threads = str(case.threads)
    return os.environ | {
        "OMP_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",
        "MKL_NUM_THREADS": threads,
        "JAX_PLATFORMS": "cpu",
        "NPROC": threads,  # size of XLA's thread pool
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
