"""The results as markdown: what was measured where, the bounds, then every figure."""

import datetime
import importlib
import os
import platform
import statistics
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .harness import Case, Target, Timing, agree, verdict
from .judging import differences, interval, quartiles, ratios

PACKAGES = ("credo-ppl", "torch", "pyro-ppl", "jax", "jaxlib", "numpyro", "equinox", "optax", "numpy")

HOW = """\
Each case runs in a process of its own that loads one framework. Its candidates take turns, a block of steps each, and
the order is reversed every second round; a figure is the median over the rounds, with the quartiles behind it. A ratio
is the median of the rounds' ratios ours / peer, which a slow drift of the machine leaves alone. First calls, and so
compilation, are not timed. Bounds are judged by the clock; CPU time, summed over threads, stands beside it because
other work on the machine disturbs it less. Threads: OMP_NUM_THREADS and torch.set_num_threads,
OMP_WAIT_POLICY=passive; NPROC for XLA's pool. Float32.

How bounds are judged was fixed before measuring. In brackets stands a confidence interval for the median, made of
order statistics, so that it holds whatever the distribution of the noise. A bound is met (yes) if the whole interval
keeps it, and missed (**no**) if the whole interval exceeds it. If it lies inside, its candidates run more rounds,
until there are four times as many; if it still lies inside, the bound is **open**. The intervals of the three looks
together err with a chance of 5 per cent. Where XLA compiles both candidates to the same instructions, the ratio is 1
whatever a clock says: "the same program" is written, the measured ratio behind it shows the noise. Memory is measured
once.

The loss column is the mean, in nats, of the last half of a run of its own from the common start (NUTS: the mean
potential energy of the draws), with its standard error. Candidates of a case should agree: "differs" is written where
one is further from the first peer than chance allows."""


def machine() -> str:
    """What the figures depend on."""
    model = platform.processor() or "unknown"
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        model = next((x.split(":")[1].strip() for x in cpuinfo.read_text().splitlines() if "model name" in x), model)
    memory = ""
    if meminfo.exists():
        memory = f", {int(meminfo.read_text().split()[1]) / 2**20:.0f} GiB of memory"
    lines = [
        f"- Machine: {model}, {os.cpu_count()} CPUs{memory}, {platform.system()} {platform.release()}",
        f"- Python {platform.python_version()}, " + ", ".join(f"{p} {installed(p)}" for p in PACKAGES),
    ]
    return "\n".join(lines)


def moment(quick: bool) -> str:
    """When a case was measured, and beside what."""
    now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, load average before it {os.getloadavg()[0]:.2f}"
    return f"{now}. **A quick run: good for finding errors, not for figures.**" if quick else now


def installed(package: str) -> str:
    """Version, or a dash."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor:
            return f"{seconds / factor:#.3g} {unit}".replace(". ", " ")
    return f"{seconds * 1e9:.0f} ns"


def judge(target: Target, timings: list[Timing]) -> tuple[str, str]:
    """The measured side of a target, and whether it is met."""
    found = verdict(target, timings)
    by_name = {t.name: t for t in timings}
    ours, peer = by_name.get(target.ours), by_name.get(target.peer)
    if found is None or ours is None:
        return "", next((t.missing for t in (ours, peer) if t is not None and t.missing), "not measured")
    met = {"yes": "yes", "no": "**no**", "open": "**open**"}[found]
    if target.kind == "seconds":
        low, high = interval(ours.seconds)
        return f"{duration(ours.median)} ({duration(low)} to {duration(high)})", met
    assert peer is not None
    if target.kind == "seconds more":
        more = differences(ours.seconds, peer.seconds)
        low, high = interval(more)
        return f"{statistics.median(more):+.2f} s ({low:+.2f} to {high:+.2f})", met
    if target.kind == "ratio":
        rounds = ratios(ours.seconds, peer.seconds)
        low, high = interval(rounds)
        cpu = statistics.median(ratios(ours.cpu_seconds, peer.cpu_seconds))
        measured = f"{statistics.median(rounds):.3f} ({low:.3f} to {high:.3f}), CPU {cpu:.3f}"
        same = ours.program and ours.program == peer.program
        return f"the same program; {measured}" if same else measured, met
    above = target.kind == "memory above data"
    a, b = ((t.peak_above_data_mib if above else t.peak_mib) for t in (ours, peer))
    return f"{a / b:.3f} ({a:.0f} / {b:.0f} MiB)", met


@dataclass(frozen=True)
class Record:
    """One measured case; `moment` says when and beside what."""

    workload: str
    case: Case
    timings: list[Timing]
    moment: str


def targets_table(records: list[Record]) -> str:
    """All bounds."""
    lines = ["| workload | case | ours | bound | measured | met |", "|---|---|---|---|---|---|"]
    for r in records:
        for target in r.case.targets:
            measured, met = judge(target, r.timings)
            lines.append(f"| {r.workload} | {r.case.name} | {target.ours} | {target.describe()} | {measured} | {met} |")
    return "\n".join(lines)


def case_table(record: Record) -> str:
    """Every candidate of a case."""
    case, timings = record.case, record.timings
    ours = next((t for t in timings if t.name == "Credo" and t.seconds), None)
    reference = next((t for t in timings if not t.name.startswith("Credo") and t.loss == t.loss), None)
    memory = any(t.peak_mib == t.peak_mib for t in timings)
    plural = "" if case.threads == 1 else "s"
    rounds = max((len(t.seconds) for t in timings), default=0)
    lines = [
        f"**{case.name}** ({case.threads} thread{plural}; {rounds} rounds, {record.moment})",
        "",
        f"| candidate | per {case.unit} | quartiles | CPU time | Credo / this | loss |"
        + (" peak memory |" if memory else ""),
        "|---|---|---|---|---|---|" + ("---|" if memory else ""),
    ]
    for timing in timings:
        if timing.missing:
            lines.append(f"| {timing.name} | {timing.missing} | | | | |" + (" |" if memory else ""))
            continue
        low, high = quartiles(timing.seconds)
        ratio = ""
        if ours and timing is not ours:
            ratio = f"{statistics.median(ratios(ours.seconds, timing.seconds)):.3f}"
        cpu = duration(statistics.median(timing.cpu_seconds)) if timing.cpu_seconds else ""
        loss = ""
        if timing.loss == timing.loss:
            loss = f"{timing.loss:.6g} ± {timing.loss_error:.2g}"
            if reference and not agree(timing, reference, case.check_slack):
                loss += " **differs**"
        peak = ""
        if timing.peak_mib == timing.peak_mib:
            peak = f"{timing.peak_mib:.0f} MiB, {timing.peak_above_data_mib:.0f} above framework and data"
        spread = f"{duration(low)} to {duration(high)}"
        cells = [timing.name, duration(timing.median), spread, cpu, ratio, loss, *([peak] if memory else [])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def render(records: list[Record], header: str) -> str:
    """The page."""
    parts = ["# Benchmarks", header, HOW, "## Bounds", targets_table(records)]
    previous = ""
    for record in records:
        if record.workload != previous:
            about = (importlib.import_module(f"benchmarks.{record.workload}").__doc__ or "").strip()
            parts += [f"## {record.workload}", about]
            previous = record.workload
        parts.append(case_table(record))
    return "\n\n".join(parts) + "\n"
