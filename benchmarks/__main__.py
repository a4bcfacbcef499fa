"""Command line: runs workloads, each case in a process of its own, and prints one markdown page."""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

from .harness import Case, Timing, environment
from .report import case_table, machine, render

WORKLOADS = ("vae", "eight_schools", "regression", "mixture", "hierarchical", "startup", "tracing")
RESULTS = Path(__file__).with_name("RESULTS.md")


def run_worker(case: Case, *arguments: str):
    """The JSON that a worker prints, or its complaint as a string."""
    command = [sys.executable, "-m", "benchmarks.worker", *arguments]
    done = subprocess.run(command, check=False, env=environment(case), capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return f"worker failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_case(workload: str, case: Case, *, quick: bool) -> list[Timing]:
    """Times, and peak memory where the case asks for it."""
    answer = run_worker(case, workload, case.name, "quick" if quick else "full")
    if isinstance(answer, str):
        return [Timing("(case)", missing=answer)]
    timings = [Timing(**fields) for fields in answer]
    for timing in timings:
        if timing.name in case.memory and not timing.missing:
            answer = run_worker(case, workload, case.name, "memory", timing.name)
            if isinstance(answer, dict):
                vars(timing).update(answer)
    return timings


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"default: all of {', '.join(WORKLOADS)}")
    parser.add_argument("--quick", action="store_true", help="short blocks, three rounds")
    parser.add_argument("--write", action="store_true", help=f"also write {RESULTS.name}")
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    arguments = parser.parse_args()
    if unknown := set(arguments.workload) - set(WORKLOADS):
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")

    header = machine(arguments.quick)
    results = []
    for workload in arguments.workload or WORKLOADS:
        for case in importlib.import_module(f"benchmarks.{workload}").cases():
            if arguments.case in case.name:
                results.append((workload, case, run_case(workload, case, quick=arguments.quick)))
                # Progress, so that a long run can be watched; the page itself comes last.
                print(f"{workload}: {case_table(case, results[-1][2])}\n", file=sys.stderr, flush=True)
                if arguments.write:
                    # After every case: a long run that is stopped leaves what it has measured.
                    RESULTS.write_text(render(results, header))
    print(render(results, header))


if __name__ == "__main__":
    main()
