"""The results as markdown: what was measured where, the bounds, then every figure."""

import datetime
import importlib
import os
import platform
import statistics
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .harness import Case, Target, Timing, agree, quartiles, ratios

PACKAGES = ("credo-ppl", "torch", "pyro-ppl", "jax", "jaxlib", "numpyro", "equinox", "optax", "numpy")

HOW = """\
Each case runs in a process of its own that loads one framework. Its candidates take turns, a block of steps each, and
the order is reversed every second round; a figure is the median over the rounds, with the quartiles behind it. A ratio
is the median of the rounds' ratios ours / peer, which a slow drift of the machine leaves alone. First calls, and so
compilation, are not timed. Bounds are judged by the clock; CPU time, summed over threads, stands beside it because
other work on the machine disturbs it less. Threads: OMP_NUM_THREADS and torch.set_num_threads,
OMP_WAIT_POLICY=passive; NPROC for XLA's pool. Float32.

The loss column is the mean, in nats, of the last half of a run of its own from the common start (NUTS: the mean
potential energy of the draws), with its standard error. Candidates of a case should agree: "differs" is written where
one is further from the first peer than chance allows."""


def machine(quick: bool) -> str:
    """What the figures depend on."""
    model = platform.processor() or "unknown"
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        model = next((x.split(":")[1].strip() for x in cpuinfo.read_text().splitlines() if "model name" in x), model)
    memory = ""
    if meminfo.exists():
        memory = f", {int(meminfo.read_text().split()[1]) / 2**20:.0f} GiB of memory"
    lines = [
        f"- Date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"- Machine: {model}, {os.cpu_count()} CPUs{memory}, {platform.system()} {platform.release()}",
        f"- Load average at the start: {os.getloadavg()[0]:.2f} (anything above 0 is other work)",
        f"- Python {platform.python_version()}, " + ", ".join(f"{p} {installed(p)}" for p in PACKAGES),
    ]
    if quick:
        lines.append("- **Quick run: short blocks, three rounds; good for finding errors, not for figures.**")
    return "\n".join(lines)


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
    by_name = {t.name: t for t in timings}
    ours, peer = by_name.get(target.ours), by_name.get(target.peer)
    for timing in (ours, peer) if target.peer else (ours,):
        if timing is None or timing.missing:
            return "", timing.missing if timing else "not run"
    assert ours is not None
    if target.kind == "seconds":
        return duration(ours.median), verdict(ours.median, target)
    assert peer is not None
    if target.kind == "seconds more":
        more = statistics.median([a - b for a, b in zip(ours.seconds, peer.seconds, strict=True)])
        return f"{more:+.2f} s", verdict(more, target)
    if target.kind == "ratio":
        rounds = ratios(ours.seconds, peer.seconds)
        low, high = quartiles(rounds)
        ratio = statistics.median(rounds)
        cpu = statistics.median(ratios(ours.cpu_seconds, peer.cpu_seconds))
        return f"{ratio:.3f} ({low:.3f} to {high:.3f}), CPU {cpu:.3f}", verdict(ratio, target)
    above = target.kind == "memory above data"
    a, b = ((t.peak_above_data_mib if above else t.peak_mib) for t in (ours, peer))
    return f"{a / b:.3f} ({a:.0f} / {b:.0f} MiB)", verdict(a / b, target)


def verdict(value: float, target: Target) -> str:
    """Yes or no, by the median alone."""
    return "yes" if value <= target.limit else "**no**"


def targets_table(results: list[tuple[str, Case, list[Timing]]]) -> str:
    """All bounds."""
    lines = ["| workload | case | ours | bound | measured | met |", "|---|---|---|---|---|---|"]
    for workload, case, timings in results:
        for target in case.targets:
            measured, met = judge(target, timings)
            lines.append(f"| {workload} | {case.name} | {target.ours} | {target.describe()} | {measured} | {met} |")
    return "\n".join(lines)


def case_table(case: Case, timings: list[Timing]) -> str:
    """Every candidate of a case."""
    ours = next((t for t in timings if t.name == "Credo" and t.seconds), None)
    reference = next((t for t in timings if not t.name.startswith("Credo") and t.loss == t.loss), None)
    memory = any(t.peak_mib == t.peak_mib for t in timings)
    plural = "" if case.threads == 1 else "s"
    lines = [
        f"**{case.name}** ({case.threads} thread{plural})",
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


def render(results: list[tuple[str, Case, list[Timing]]], header: str) -> str:
    """The page."""
    parts = ["# Benchmarks", header, HOW, "## Bounds", targets_table(results)]
    previous = ""
    for workload, case, timings in results:
        if workload != previous:
            about = (importlib.import_module(f"benchmarks.{workload}").__doc__ or "").strip()
            parts += [f"## {workload}", about]
            previous = workload
        parts.append(case_table(case, timings))
    return "\n\n".join(parts) + "\n"
