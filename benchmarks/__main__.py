"""Command line: measures workloads, each case in a process of its own, and prints one markdown page.

What is measured is also kept, one file a case, so that the page can be measured in pieces and rendered at any time.
"""

import argparse
import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

from .harness import Case, Timing, environment
from .report import Record, case_table, machine, moment, render

WORKLOADS = ("vae", "eight_schools", "regression", "mixture", "hierarchical", "startup", "tracing")
RESULTS = Path(__file__).with_name("RESULTS.md")
OUTPUTS = Path(__file__).with_name("outputs")


def run_worker(case: Case, *arguments: str):
    """The JSON that a worker prints, or its complaint as a string."""
    command = [sys.executable, "-m", "benchmarks.worker", *arguments]
    done = subprocess.run(command, check=False, env=environment(case), capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return f"worker failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_case(workload: str, case: Case, *, quick: bool) -> Record:
    """Times, and peak memory where the case asks for it."""
    now = moment(quick)
    answer = run_worker(case, workload, case.name, "quick" if quick else "full")
    if isinstance(answer, str):
        return Record(workload, case, [Timing("(case)", missing=answer)], now)
    timings = [Timing(**fields) for fields in answer]
    for timing in timings:
        if timing.name in case.memory and not timing.missing:
            answer = run_worker(case, workload, case.name, "memory", timing.name)
            if isinstance(answer, dict):
                vars(timing).update(answer)
    return Record(workload, case, timings, now)


def kept(workload: str, case: Case) -> Path:
    """Where a measured case is kept."""
    return OUTPUTS / f"{workload}-{re.sub('[^a-z0-9]+', '-', case.name.lower()).strip('-')}.json"


def keep(record: Record) -> None:
    """Write a measured case down."""
    OUTPUTS.mkdir(exist_ok=True)
    timings = [dataclasses.asdict(t) for t in record.timings]
    document = {"machine": machine(), "moment": record.moment, "timings": timings}
    kept(record.workload, record.case).write_text(json.dumps(document))


def recall(workload: str, case: Case) -> Record | None:
    """A case that was measured on this machine with these versions."""
    path = kept(workload, case)
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    if document["machine"] != machine():
        return None
    return Record(workload, case, [Timing(**fields) for fields in document["timings"]], document["moment"])


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"default: all of {', '.join(WORKLOADS)}")
    parser.add_argument("--quick", action="store_true", help="short blocks, three rounds; nothing is kept")
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--missing", action="store_true", help="only cases that are not kept yet")
    parser.add_argument("--list", action="store_true", help="only say which cases there are, and which are kept")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} from all cases that are kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.workload) - set(WORKLOADS):
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    if arguments.quick and arguments.write:
        parser.error("a quick run is not for the page: leave --quick or --write out")

    every = [(w, case) for w in WORKLOADS for case in importlib.import_module(f"benchmarks.{w}").cases()]
    wanted = [(w, c) for w, c in every if w in (arguments.workload or WORKLOADS) and arguments.case in c.name]
    if arguments.list:
        for workload, case in wanted:
            record = recall(workload, case)
            print(f"{workload}: {case.name}: {record.moment if record else 'not kept'}")
        return
    done: list[Record] = []
    for workload, case in wanted:
        if arguments.missing and recall(workload, case):
            continue
        record = run_case(workload, case, quick=arguments.quick)
        done.append(record)
        # Progress, so that a long run can be watched; the page itself comes last.
        print(f"{workload}: {case_table(record)}\n", file=sys.stderr, flush=True)
        if not arguments.quick:
            keep(record)
        if arguments.write:
            # After every case: a long run that is stopped leaves what it has measured.
            write(every)
    if arguments.write:
        write(every)
    print(render(done, machine()))


def write(every: list[tuple[str, Case]]) -> None:
    """The page of everything that is kept."""
    RESULTS.write_text(render([r for w, c in every if (r := recall(w, c))], machine()))


if __name__ == "__main__":
    main()
