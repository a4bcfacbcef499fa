"""Run by `test_ejection.py` in a fresh process: ejected files, where Credo cannot be imported.

    python run_ejected.py LIBRARY FOLDER

For every model `NAME.py` in the folder there is `NAME.inputs.npz`, with arguments and values of sites. Written is
`densities.json`: for every model the log density of each site by the library's own handlers.
"""

import importlib.util
import json
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np


class Absent(MetaPathFinder):
    """Credo is not installed here, nor is the other library."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{fullname} is absent", name=fullname)


def load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.model


def pyro_densities(model: Any, arguments: dict[str, Any], values: dict[str, Any]) -> dict[str, float]:
    import pyro
    import torch

    pyro.clear_param_store()
    sites = {name: torch.as_tensor(value) for name, value in values.items()}
    given = {name: torch.as_tensor(value) for name, value in arguments.items()}
    with torch.no_grad():
        trace = pyro.poutine.trace(pyro.poutine.condition(model, sites)).get_trace(**given)
        trace.compute_log_prob()
    nodes: dict[str, Any] = dict(trace.nodes)
    return {n: float(s["log_prob_sum"]) for n, s in nodes.items() if s["type"] == "sample" and not silent(s)}


def silent(site: dict[str, Any]) -> bool:
    """Plates and values that Pyro keeps as sites without a density."""
    return type(site["fn"]).__name__ == "_Subsample" or bool(site["infer"].get("_deterministic"))


def numpyro_densities(model: Any, arguments: dict[str, Any], values: dict[str, Any]) -> dict[str, float]:
    import jax
    import numpyro
    from numpyro.infer.util import log_density

    def by_site(arguments: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        seeded = numpyro.handlers.seed(model, 0)
        _, trace = log_density(seeded, (), arguments, values)
        sites = {n: s for n, s in trace.items() if s["type"] == "sample"}
        return {n: s["fn"].log_prob(s["value"]).sum() for n, s in sites.items()}

    return {n: float(v) for n, v in jax.jit(by_site)(arguments, values).items()}


def main(library: str, folder: Path) -> None:
    if library == "pyro":
        import torch

        torch.set_default_dtype(torch.float64)
    else:
        import jax

        jax.config.update("jax_enable_x64", True)
    densities = {"pyro": pyro_densities, "numpyro": numpyro_densities}[library]
    out: dict[str, Any] = {}
    for file in sorted(folder.glob("*.py")):
        with np.load(folder / f"{file.stem}.inputs.npz") as stored:
            arrays = dict(stored)
        arguments = {k.removeprefix("argument/"): v for k, v in arrays.items() if k.startswith("argument/")}
        values = {k.removeprefix("value/"): v for k, v in arrays.items() if k.startswith("value/")}
        out[file.stem] = densities(load(file), arguments, values)
    (folder / "densities.json").write_text(json.dumps(out))


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent({"ppl", "jax" if sys.argv[1] == "pyro" else "torch", "tests"}))
    main(sys.argv[1], Path(sys.argv[2]))
