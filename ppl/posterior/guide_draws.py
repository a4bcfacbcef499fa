"""What is computed at draws of a guide, a few draws at a time, and the error where a density there is not finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.diagnosis import fault, findings, is_fault, outputs_of
from ppl.backend.protocol import Arrays
from ppl.errors import NonFiniteError, PPLError
from ppl.program.values import Plate, Value
from ppl.transforms.density import Density, Simulator, log_density, simulator
from ppl.transforms.exact import exact_sites

from .evaluation import CHUNK_BYTES, bytes_per_draw, own_params, pieces

_GUIDE = 'Draws of a guide have a density: bound its parameters, give it lighter tails, or use precision="float64".'
_MODEL = "The guide draws values at which the model has no density: check what the parameters there are computed from."


class GuideDraws:
    """Draws of a guide and the densities of model and guide there; sites that the guide leaves out are summed out.

    Attributes:
        latents: names of the latents that the guide draws, in order of declaration.
        plate: the plate whose rows are independent of each other; None where there is none.
        draws: the guide's draws, as expressions.
        density: the model's density there.
    """

    def __init__(self, model: Compiled, guide: Compiled, params: Mapping[str, np.ndarray]) -> None:
        # Here and not above: fits import this file, and need nothing of what that one loads.
        from .rows import independent_plate

        self.model, self.guide = model, guide
        self.params = {**own_params(model, params), **own_params(guide, params)}
        program = model.program
        exact = exact_sites(program, guide.program.sites)
        self.latents = [n for n in program.latents if n not in exact]
        name = independent_plate(program, guide.program, tuple(exact))
        self.plate: Plate | None = None if name is None else program.plate(name)
        self.draws: Simulator = simulator(guide.program, lead=True, densities=True)
        values = {n: self.draws.values[n] for n in self.latents}
        # The draws lie in the support, as the guide has been checked against the model.
        self.density: Density = log_density(program, values, checked=False, exact=exact)

    @property
    def rows(self) -> int:
        """How many independent rows there are; one where there is no such plate."""
        return 1 if self.plate is None else self.plate.size

    def evaluate(
        self,
        name: str,
        outputs: dict[str, Value],
        count: int,
        seed: int,
        chunk: int | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[tuple[dict[str, np.ndarray], int, int]]:
        """Quantities at some draws.

        Args:
            name: of the emitted function.
            outputs: the quantities; log densities by names that begin with "log_p" and "log_q".
            count: number of draws.
            seed: for the draws.
            chunk: draws that are held at a time; by default as many as fit into `chunk_bytes`.
            chunk_bytes: memory that intermediate results may take.

        Yields:
            Arrays with some draws in front (or without, if they are the same for all), how many draws these are, and
            how many of them count: all chunks have one size, so that the function is compiled once.

        Raises:
            NonFiniteError: log q is not finite, or log p is NaN or plus infinity; names the first site at fault.
        """
        model, backend = self.model, self.model.backend
        programs = (model.program, self.guide.program)
        emitted = model.emitter(programs=programs).emit(name, outputs)
        function = backend.jit(model.load(emitted, self.guide.networks), model.precision, ("lead",))
        data = self.guide.bind(emitted, model.program.data)
        params = {k: backend.array(v, "float", model.precision) for k, v in self.params.items()}
        width = sum(bytes_per_draw(p, model.precision) for p in programs)
        steps = list(pieces(count, width, chunk_bytes) if chunk is None else pieces(count, 1, chunk))
        for (place, index), key in zip(steps, backend.split(backend.key(seed), len(steps)), strict=True):
            lead = (len(index),)
            shapes, again = model.noise_shapes(self.draws.noise, lead, {}), backend.copy(key)
            result = function(params, {}, data, backend.noise(key, shapes, model.precision), lead=lead)
            arrays = {n: backend.to_numpy(a) for n, a in result.items()}
            if any(is_fault(a, n.startswith("log_p")) for n, a in arrays.items() if n.startswith("log_")):
                noise = backend.noise(again, shapes, model.precision)
                raise guide_fault(model, self.guide, self.draws, self.density, params, noise, lead[0])
            yield arrays, lead[0], place.stop - place.start


def guide_fault(
    model: Compiled, guide: Compiled, draws: Simulator, density: Density, params: Arrays, noise: Arrays, count: int
) -> PPLError:
    """The error for draws of a guide whose densities are not finite, from the noise that they were made of.

    Args:
        model: the model.
        guide: the guide.
        draws: the guide's draws.
        density: the model's density there.
        params: parameters of both.
        noise: random arguments.
        count: number of draws.
    """
    backend = model.backend
    outputs = outputs_of(draws.log_probs, draws.dists, draws.values, "guide/")
    outputs |= outputs_of(density.terms, density.dists, density.values, "model/")
    emitted = model.emitter(programs=(model.program, guide.program)).emit("diagnose", outputs)
    function = backend.jit(model.load(emitted, guide.networks), model.precision, ("lead",))
    results = function(params, {}, guide.bind(emitted, model.program.data), noise, lead=(count,))
    arrays = {k: backend.to_numpy(v) for k, v in results.items()}
    own = {k: backend.to_numpy(v) for k, v in params.items()}
    drawn = findings(guide.program, arrays, own, drawn=True, prefix="guide/")
    scored = findings(model.program, arrays, own, parts=density.parts, prefix="model/")
    when = "at the draws of the guide"
    error = fault(drawn, when, remedy=_GUIDE) or fault(scored, when, impossible=True, remedy=_MODEL)
    return error or NonFiniteError(f"a log density is not finite {when}.", model=model.program.name)
