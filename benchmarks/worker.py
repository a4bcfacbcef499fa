"""Runs one case, or the peak memory of one of its candidates, and prints JSON; started by `python -m benchmarks`."""

import dataclasses
import importlib
import json
import sys

from .harness import Case, measure, measure_memory


def main(workload: str, name: str, mode: str, candidate: str = "") -> None:
    """Worker's entry."""
    case: Case = {c.name: c for c in importlib.import_module(f"benchmarks.{workload}").cases()}[name]
    if case.framework == "torch":
        import torch

        torch.set_num_threads(case.threads)
    if mode == "memory":
        result = measure_memory(case, candidate)
    else:
        result = [dataclasses.asdict(timing) for timing in measure(case, quick=mode == "quick")]
    # On a line of its own after whatever a library has printed.
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
