"""`ppl.compile`: a program turned into native and pure functions of one backend."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppl.errors import (
    DataError,
    DtypeError,
    Location,
    ShapeError,
    UnknownNameError,
    UnsupportedByBackend,
    nearest,
    user_location,
)
from ppl.program.ops import apply
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Sample
from ppl.program.values import Value, constant
from ppl.transforms.density import Continued, NoiseSpec, log_density, simulator

from .emit import Emitted, FunctionEmitter
from .foreign import check_module
from .native import check_backend, native_source
from .protocol import Array, Arrays, Backend, Key, NoiseShape
from .watching import TROUBLE, drawing_fault, is_troubled, trouble

PRECISIONS = ("float32", "float64")


@functools.cache
def get_backend(name: str) -> Backend:
    """The backend of a name; its libraries are imported now, not before.

    Raises:
        UnknownNameError: there is no such backend.
        UnsupportedByBackend: its libraries are not installed.
    """
    check_backend(name)
    try:
        if name == "pyro":
            return importlib.import_module("ppl.backend.pyro").PyroBackend()
        return importlib.import_module("ppl.backend.numpyro").NumPyroBackend()
    except ModuleNotFoundError as error:
        raise UnsupportedByBackend(
            name, "compiling", f"the package {error.name!r} is not installed", f"pip install {error.name}"
        ) from error


def compile(program: Program, backend: str = "numpyro", *, precision: str = "float32", seed: int = 0) -> Compiled:
    """Compile a program.

    Args:
        program: a model or guide.
        backend: "numpyro" (JAX) or "pyro" (torch).
        precision: "float32" or "float64".
        seed: for the starting values of networks.

    Returns:
        The native model, its source, and pure functions.

    Raises:
        UnknownNameError: no such backend or precision.
        UnsupportedByBackend: the program uses something that this backend lacks.
        DtypeError: data that the precision cannot hold.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError(
            f"there is no precision {precision!r}.",
            declared_at=user_location(),
            expected=f"one of {PRECISIONS}",
            got=repr(precision),
            remedy=nearest(str(precision), PRECISIONS),
        )
    return Compiled(program, get_backend(backend), precision, seed)


class Compiled:
    """A program for one backend.

    Attributes:
        program: the program.
        backend: the backend.
        precision: "float32" or "float64".
        params: starting values of parameters and network weights, as numpy arrays by name (constrained).
    """

    def __init__(self, program: Program, backend: Backend, precision: str, seed: int) -> None:
        self.program = program
        self.backend = backend
        self.precision = precision
        self.networks: dict[str, Any] = {}
        self._arrays: dict[tuple[int, str], tuple[Any, Array]] = {}
        self._densities: dict[frozenset[str], tuple[Emitted, Any]] = {}
        self._simulators: dict[Any, tuple[Emitted, Any, tuple[NoiseSpec, ...]]] = {}
        self.params = self.initial_params(seed)

    def initial_params(self, seed: int) -> dict[str, np.ndarray]:
        """Starting values of all parameters, equal on both backends except for the user's own modules."""
        out: dict[str, np.ndarray] = {}
        for network in self.program.networks.values():
            if network.random:
                continue
            if network.spec.foreign is not None:
                module, arrays = self.backend.foreign_module(network.spec, seed)
                if not network.spec.is_function:
                    check_module(self.program, network, module, self.backend)
                self.networks[network.name] = module
                out |= arrays
            else:
                out |= network.spec.initial(seed)
        return out | {name: p.initial() for name, p in self.program.params.items()}

    # --- native ----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def source(self) -> str:
        """Source text of the native model."""
        return native_source(self.program, self.backend.name)

    @functools.cached_property
    def model(self) -> Any:
        """The native model: a callable of the program's inputs and observed sites, for any tool of the library."""
        return self.backend.native(self.program, self.source, self.precision, self.params)

    @property
    def model_data(self) -> Arrays:
        """Keyword arguments for `model`, from the program's data."""
        return self.backend.native_data(self.program, self.precision)

    # --- binding ---------------------------------------------------------------------------------------------------

    def bind(self, emitted: Emitted, extra: Mapping[str, Any] | None = None) -> Arrays:
        """The `data` argument of an emitted function."""
        out: Arrays = {}
        for argument in emitted.arguments:
            if argument.group == "data":
                out[argument.key] = self.data_array(argument.name, argument.dtype, extra)
        return out

    def data_array(self, name: str, kind: str, extra: Mapping[str, Any] | None = None) -> Array:
        """One array of data at the working precision.

        Raises:
            DataError: it is not bound.
            DtypeError: the precision cannot hold it.
        """
        source = {**self.program.data, **(extra or {})}
        if name not in source:
            raise DataError(
                f"input {name!r} has no values.",
                model=self.program.name,
                declared_at=user_location(),
                expected="an array",
                got="a ppl.spec, which has a shape only",
                remedy=f"Bind them: program.bind({name}=array), or call the model with an array instead of ppl.spec.",
            )
        item = source[name]
        # Input and data of a site may be one array; it is then held once on the backend too.
        key = (id(item), kind)
        if key not in self._arrays:
            if kind == "float" and self.precision == "float32" and isinstance(item, np.ndarray):
                statement = self.program.by_name.get(name)
                check_precision(item, name, self.program.name, statement.location if statement else user_location())
            self._arrays[key] = item, self.backend.array(item, kind, self.precision)
        return self._arrays[key][1]

    def param_arrays(self, params: Mapping[str, Any] | None = None) -> Arrays:
        """The `params` argument, from the starting values and what overrides them.

        Parameters of others, such as those of the guide that a fit holds too, are passed over if all of the program's
        own are there. A name is misspelt if one of these is missing.

        Raises:
            UnknownNameError: there is no such parameter.
            ShapeError: its values have another shape.
        """
        given = {**self.params, **(params or {})}
        unknown = set(given) - set(self.params)
        if unknown and set(self.params) - set(params or {}):
            name = min(unknown)
            raise UnknownNameError(
                f"there is no parameter {name!r}.",
                model=self.program.name,
                declared_at=user_location(),
                expected=f"one of {list(self.params)}",
                got=repr(name),
                remedy=nearest(name, self.params),
            )
        for name, start in self.params.items():
            # Left alone, an array of another shape would broadcast: another model, without a word.
            if np.shape(given[name]) != start.shape:
                statement = self.program.by_name.get(name)
                raise ShapeError(
                    f"parameter {name!r} is given with the wrong shape.",
                    model=self.program.name,
                    declared_at=user_location() if statement is None else statement.location,
                    expected=f"shape {start.shape}",
                    got=f"shape {np.shape(given[name])}",
                    remedy="Plates come first, then one element; a fit of other rows has no values for these.",
                )
        return {k: self.backend.array(given[k], "float", self.precision) for k in self.params}

    def value_arrays(self, values: Mapping[str, Any]) -> Arrays:
        """The `values` argument: draws of sites, leading axes in front."""
        out: Arrays = {}
        for name, item in values.items():
            site = self.program.sites.get(name)
            if site is None:
                raise UnknownNameError(
                    f"there is no random site {name!r}.",
                    model=self.program.name,
                    declared_at=user_location(),
                    expected=f"one of {list(self.program.sites)}",
                    got=repr(name),
                    remedy=nearest(name, self.program.sites),
                )
            array = self.backend.array(item, site.dist.dtype, self.precision)
            wanted = tuple(p.size for p in site.plates) + site.dist.event_shape
            if tuple(array.shape)[max(array.ndim - len(wanted), 0) :] != wanted:
                raise ShapeError(
                    "its values have the wrong shape.",
                    site=name,
                    model=self.program.name,
                    declared_at=site.location,
                    expected=f"any leading axes, then {wanted}",
                    got=str(tuple(array.shape)),
                    remedy="Draws come first, then plates (outermost in front), then the event.",
                )
            out[name] = array
        return out

    # --- pure functions --------------------------------------------------------------------------------------------

    def emitter(self, *, from_data: frozenset[str] | None = None, lead: bool = True, **kwargs: Any) -> FunctionEmitter:
        """An emitter for functions of this program."""
        observed = frozenset(self.program.observed) if from_data is None else from_data
        programs = kwargs.pop("programs", (self.program,))
        return FunctionEmitter(programs, self.backend.spelling, self.precision, from_data=observed, lead=lead, **kwargs)

    def load(self, emitted: Emitted, networks: Mapping[str, Any] | None = None) -> Any:
        """The callable of emitted source."""
        return self.backend.function(emitted, self.precision, {**self.networks, **(networks or {})}, self.program.name)

    @functools.cached_property
    def density(self) -> tuple[Emitted, Any]:
        """The emitted by-site log density, (params, values, data) -> {site: array of leading axes and plates}."""
        return self._density(frozenset(self.program.observed))

    def _density(self, from_data: frozenset[str]) -> tuple[Emitted, Any]:
        if from_data not in self._densities:
            terms = {name: self.filled(name, term) for name, term in log_density(self.program).terms.items()}
            emitted = self.emitter(from_data=from_data).emit("log_density", terms)
            self._densities[from_data] = emitted, self.backend.jit(self.load(emitted), self.precision)
        return self._densities[from_data]

    def log_density(
        self,
        values: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        *,
        by_site: bool = False,
    ) -> Any:
        """Log density of values and data, in nats.

        Args:
            values: each latent site, any leading axes in front of its plates and event.
            params: parameters that differ from the starting values.
            data: inputs or observed sites that differ from the bound ones.
            by_site: keep the sites apart; each keeps the axes of its plates.

        Returns:
            An array of the leading axes, or one for each site of leading axes and plates.
        """
        missing = [n for n in self.program.latents if n not in values]
        if missing:
            raise DataError(
                f"the value of latent {missing[0]!r} is missing.",
                site=missing[0],
                model=self.program.name,
                declared_at=self.program.sites[missing[0]].location,
                expected=f"values of {list(self.program.latents)}",
                got=f"values of {list(values)}",
                remedy="Give every latent site a value; simulate(...) draws them.",
            )
        emitted, function = self._density(frozenset(self.program.observed) - set(values))
        terms = function(self.param_arrays(params), self.value_arrays(values), self.bind(emitted, data), {})
        if by_site:
            return terms
        return self.total(terms)

    def total(self, terms: Mapping[str, Array]) -> Array:
        """Sum of by-site terms over plates and sites."""
        total: Any = 0.0
        with self.backend.context(self.precision):
            for name, term in terms.items():
                total = total + self.plate_total(name, term)
        return total

    def plate_total(self, name: str, term: Array) -> Array:
        """One term of leading axes and plates, summed over the plates."""
        plates = self.program.by_name[name].plates
        axes = tuple(range(-len(plates), 0))
        with self.backend.context(self.precision):
            return term.sum(axes) if axes else term

    # --- simulation ------------------------------------------------------------------------------------------------

    def _simulator(
        self, given: frozenset[str], from_data: frozenset[str], continued: Continued | None = None
    ) -> tuple[Emitted, Any, tuple[NoiseSpec, ...]]:
        key = (given, from_data, continued)
        if key not in self._simulators:
            references = {name: self.program.sites[name].value for name in given}
            draws = simulator(self.program, references, continued=continued)
            drawn = [n for n in draws.values if n not in given or self._goes_on(n, continued)]
            outputs = {n: self.filled(n, draws.values[n]) for n in drawn}
            bad = trouble(self.program, draws, drawn)
            outputs |= {} if bad is None else {TROUBLE: bad}
            emitted = self.emitter(from_data=from_data).emit("simulate", outputs)
            function = self.backend.jit(self.load(emitted), self.precision, ("lead",))
            self._simulators[key] = emitted, function, draws.noise
        return self._simulators[key]

    def _goes_on(self, name: str, continued: Continued | None) -> bool:
        return continued is not None and continued.plate in self.program.by_name[name].plates

    def filled(self, name: str, value: Value) -> Value:
        """A value that does not vary over one of its plates still gets that axis."""
        for plate in self.program.by_name[name].plates:
            if plate not in value.plates:
                index = Value("plate_index", (), (("plate", plate),), (plate,), (), "int")
                value = apply("where", apply("less", index, 0), constant(0), value)
        return value

    def sizes(self, name: str) -> tuple[int, ...]:
        """Shape of one draw of a site: plates, then event."""
        statement = self.program.by_name[name]
        assert isinstance(statement, (Sample, Deterministic))
        return tuple(p.size for p in statement.plates) + statement.value.shape

    def noise_shapes(
        self, noise: Sequence[NoiseSpec], lead: tuple[int, ...], batch: Mapping[str, int]
    ) -> list[NoiseShape]:
        """Full shapes of random arguments."""
        shapes = []
        for n in noise:
            plates = tuple(batch.get(p.name, p.size) for p in n.plates)
            shapes.append(NoiseShape(n.name, n.kind, () if n.kind == "key" else lead + plates + n.shape))
        return shapes

    def simulate(
        self,
        shape: tuple[int, ...] = (),
        *,
        key: Key | None = None,
        noise: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        observed: bool = False,
        continued: Continued | None = None,
    ) -> Arrays:
        """Draw all sites that are not given, observed ones included.

        Args:
            shape: leading axes: how many draws.
            key: random state; either this or `noise`.
            noise: base randomness by name, shape (leading axes, plates, event); equal noise gives equal draws on both
                backends.
            values: sites that are given, with the same leading axes.
            params: parameters that differ from the starting values.
            data: inputs that differ from the bound ones.
            observed: keep observed sites at their data instead of drawing them anew.
            continued: the steps of a scan at which `values` hold; at all others the sites are drawn.

        Returns:
            Draws of sites and deterministic values, shape (leading axes, plates, event).

        Raises:
            UnsupportedByBackend: `noise` was given, but a site has no noise form.
            NonFiniteError: a draw or a parameter is NaN or infinite, or a computed value NaN; names the first site.
            SupportError: a parameter that has to be positive is negative.
        """
        fixed = self.value_arrays(values or {})
        given = frozenset(fixed)
        from_data = frozenset(self.program.observed) if observed else frozenset()
        emitted, function, specs = self._simulator(given | from_data, from_data - given, continued)
        shapes = self.noise_shapes(specs, shape, {})
        if noise is None:
            arrays = self.backend.noise(key if key is not None else self.backend.key(0), shapes, self.precision)
        else:
            keyed = [s for s in specs if s.kind == "key"]
            if keyed:
                raise UnsupportedByBackend(
                    self.backend.name,
                    "simulating from given noise",
                    f"site {keyed[0].site!r} is drawn by the library's own sampler",
                    "Pass a key instead.",
                    site=keyed[0].site,
                )
            arrays = {s.name: self.backend.array(noise[s.name], "float", self.precision) for s in specs}
        result = function(self.param_arrays(params), fixed, self.bind(emitted, data), arrays, lead=shape)
        bad = result.pop(TROUBLE, None)
        if bad is not None and is_troubled(self.backend.to_numpy(bad)):
            raise drawing_fault(self, fixed, result, params, data)
        return {name: self._spread(name, array, shape) for name, array in result.items()}

    def _spread(self, name: str, array: Array, shape: tuple[int, ...]) -> Array:
        """A value that depends on no draw has no leading axes yet; give it them."""
        rank = len(self.sizes(name))
        if array.ndim >= rank + len(shape):
            return array
        full = tuple(shape) + tuple(array.shape[array.ndim - rank :])
        kind = "float" if self.backend.to_numpy(array).dtype.kind == "f" else "int"
        return self.backend.array(np.broadcast_to(self.backend.to_numpy(array), full), kind, self.precision)


def check_precision(array: np.ndarray, name: str, model: str, location: Location | None = None) -> None:
    """Refuse real data that float32 would falsify.

    Raises:
        DtypeError: finite numbers would become infinite, distinct ones zero, or differences would drown in rounding.
    """
    if array.dtype != np.float64 or not array.size:
        return
    with np.errstate(over="ignore", under="ignore"):
        rounded = array.astype(np.float32).astype(np.float64)
    finite = np.isfinite(array)
    spread = float(np.std(array[finite])) if finite.any() else 0.0
    both = finite & np.isfinite(rounded)
    error = np.abs(rounded[both] - array[both])
    lost = bool(np.any(finite & ~np.isfinite(rounded))) or bool(np.any((rounded == 0) & (array != 0)))
    coarse = spread > 0 and error.size > 0 and float(error.max()) > 1e-3 * spread
    if lost or coarse:
        raise DtypeError(
            f"{name!r} is float64, and float32 cannot hold it.",
            model=model,
            declared_at=location,
            expected="numbers whose differences survive rounding to float32",
            got=f"numbers up to {np.max(np.abs(array[finite])):.6g} with standard deviation {spread:.3g}",
            remedy='Pass precision="float64", or centre and scale the data.',
        )
