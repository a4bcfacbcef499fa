"""From arrays to xarray and arviz: named dims, groups, and the two lines of arviz.

numpy and xarray only: no array library of a backend is needed to read a fit. arviz 0.x has its own container,
`InferenceData`; arviz 1.x works on `xarray.DataTree`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import ShapeError, UnknownNameError, nearest
from ppl.program.missing import is_own_input
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Sample
from ppl.program.values import Value

if TYPE_CHECKING:
    import xarray

# A variable before it is one of xarray's: dims and values.
Entry = tuple[tuple[str, ...], np.ndarray]
Labels = Mapping[str, Sequence[Any]]

CHAIN_DRAW: tuple[str, str] = ("chain", "draw")


# --- arviz ----------------------------------------------------------------------------------------------------------


def arviz_module() -> Any:
    """The arviz that is installed; untyped, since its two lines have different names."""
    import arviz

    return arviz


def arviz_line(library: Any) -> int:
    """The major version of arviz: 0 for `InferenceData`, 1 and up for `DataTree`."""
    major = str(getattr(library, "__version__", "")).partition(".")[0]
    if major.isdigit():
        return int(major)
    # No version to read (a development install). The names cannot decide: 1.x still answers to `InferenceData`.
    return 0 if hasattr(library, "from_pyro") else 1


def arviz_object(groups: Mapping[str, xarray.Dataset], attrs: Mapping[str, Any], library: Any = None) -> Any:
    """Groups as arviz wants them.

    Args:
        groups: a Dataset for each group.
        attrs: attributes of the whole.
        library: the arviz module; by default the one that is installed.

    Returns:
        An `InferenceData` on arviz 0.x, an `xarray.DataTree` from 1.0 on.
    """
    import xarray

    library = arviz_module() if library is None else library
    if arviz_line(library) == 0:
        return library.InferenceData(attrs=dict(attrs), **groups)
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=dict(attrs)), **groups})


# --- names ----------------------------------------------------------------------------------------------------------


def resolve_dims(shapes: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]], lead: Mapping[str, int]) -> dict:
    """Dimension names that one Dataset can hold together.

    Args:
        shapes: for each variable its dims and sizes, leading dims left out.
        lead: the leading dims and their sizes.

    Returns:
        Dims for each variable. A name that would stand for two sizes, or twice in one variable, becomes
        `variable_name`.
    """
    sizes = dict(lead)
    out: dict[str, tuple[str, ...]] = {}
    for name, (dims, shape) in shapes.items():
        own: list[str] = []
        for dim, size in zip(dims, shape, strict=True):
            chosen = dim
            while chosen in lead or chosen in own or sizes.get(chosen, size) != size:
                chosen = f"{name}_{chosen}"
            sizes[chosen] = size
            own.append(chosen)
        out[name] = tuple(own)
    return out


def variable_names(names: Sequence[str], dims: set[str]) -> dict[str, str]:
    """Names that xarray takes for variables.

    A variable with the name of a dimension would become its coordinate, and a `DataTree` reads `/` as a path.
    """
    out: dict[str, str] = {}
    for name in names:
        chosen = name.replace("/", ".")
        while chosen in dims or chosen in out.values():
            chosen += "_values"
        out[name] = chosen
    return out


def build_dataset(
    entries: Mapping[str, Entry],
    lead: Mapping[str, int] | None = None,
    labels: Labels | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xarray.Dataset:
    """A Dataset with a coordinate for every dim.

    Args:
        entries: dims (leading ones left out) and values (leading axes included) of each variable.
        lead: the leading dims with their sizes; none by default.
        labels: labels of dims; the others are numbered from 0.
        attrs: attributes.

    Raises:
        ShapeError: there are more or fewer labels than elements.
    """
    import xarray

    lead = dict(lead or {})
    depth = len(lead)
    dims = resolve_dims({n: (d, a.shape[depth:]) for n, (d, a) in entries.items()}, lead)
    sizes = lead | {d: s for n, (_, a) in entries.items() for d, s in zip(dims[n], a.shape[depth:], strict=True)}
    names = variable_names(list(entries), set(sizes))
    variables = {}
    for name, (_, array) in entries.items():
        own = {} if names[name] == name else {"site": name}
        variables[names[name]] = xarray.Variable((*lead, *dims[name]), array, own)
    coords = {dim: _labels(dim, size, labels or {}) for dim, size in sizes.items()}
    return xarray.Dataset(variables, coords, dict(attrs or {}))


def _labels(dim: str, size: int, labels: Labels) -> np.ndarray:
    if dim not in labels:
        return np.arange(size)
    own = np.asarray(labels[dim])
    if own.shape != (size,):
        raise ShapeError(
            f"the labels of dimension {dim!r} do not fit.",
            expected=f"{size} labels, one for each element",
            got=f"labels of shape {own.shape}",
        )
    return own


def check_labels(program: Program, labels: Labels) -> None:
    """Labels must belong to dims that the program has.

    Raises:
        UnknownNameError: there is no such dim.
    """
    named = {d for s in (*program.sites, *program.deterministics) for d in program.dims(s)}
    known = named | {p.name for p in program.plates}
    for name in labels:
        if name not in known:
            raise UnknownNameError(
                f"there is no plate or dimension {name!r} to label.", model=program.name, remedy=nearest(name, known)
            )


# --- what a program's arrays are called -----------------------------------------------------------------------------


def site_shape(program: Program, name: str) -> tuple[int, ...]:
    """Sizes of the plates and event axes of a site."""
    statement = program.by_name[name]
    assert isinstance(statement, (Sample, Deterministic))
    return tuple(p.size for p in statement.plates) + statement.value.shape


def site_entries(program: Program, arrays: Mapping[str, np.ndarray]) -> dict[str, Entry]:
    """Entries of sites: plates, then event axes."""
    return {name: (program.dims(name), array) for name, array in arrays.items()}


def plate_entries(program: Program, arrays: Mapping[str, np.ndarray]) -> dict[str, Entry]:
    """Entries of one number for each element of a site's plates, such as its log density."""
    return {name: (tuple(p.name for p in program.by_name[name].plates), array) for name, array in arrays.items()}


def known_numbers(program: Program, name: str) -> np.ndarray | None:
    """Which numbers of an observed site's data are known, in the shape of the data; None where all are."""
    known = program.data.get(f"known.{name}")
    if known is None or name not in program.data:
        return None
    array = np.asarray(program.data[name])
    return np.broadcast_to(np.reshape(known, (*known.shape, *(1,) * (array.ndim - known.ndim))), array.shape)


def observed_entries(program: Program, gaps: bool = True) -> dict[str, Entry]:
    """Entries of the data of observed sites.

    Args:
        program: any program.
        gaps: whether missing numbers keep their place, as NaN; without them the known ones stand on one axis.
    """
    arrays = {name: np.asarray(program.data[name]) for name in program.observed}
    out = site_entries(program, arrays)
    for name, array in arrays.items():
        known = known_numbers(program, name)
        if known is not None:
            out[name] = (out[name][0], np.where(known, array, np.nan)) if gaps else ((f"{name}_known",), array[known])
    return out


def input_entries(program: Program) -> dict[str, Entry]:
    """Entries of the inputs that are bound; an axis that a plate maps over bears the plate's name.

    Inputs that say where data is missing are left out: the data says it.
    """
    axes: dict[tuple[str, int], str] = {}
    for plate in program.plates:
        for source in plate.sources:
            name, depth = _mapped_axis(source)
            if name is not None:
                axes.setdefault((name, depth), plate.name)
    out: dict[str, Entry] = {}
    for item in program.inputs:
        if item.name in program.data and (not is_own_input(item.name) or item.name.startswith("do.")):
            array = np.asarray(program.data[item.name])
            dims = tuple(axes.get((item.name, i), f"{item.name}_dim_{i}") for i in range(array.ndim))
            out[item.name] = (dims, array)
    return out


def _mapped_axis(source: Value) -> tuple[str | None, int]:
    depth = 0
    while source.op == "element":
        depth, source = depth + 1, source.args[0]
    return (source.attr("name"), depth) if source.op == "input" else (None, depth)


# --- groups ---------------------------------------------------------------------------------------------------------


def with_chain(dataset: xarray.Dataset) -> xarray.Dataset:
    """Draws without chains as those of a single chain."""
    if "chain" in dataset.dims:
        return dataset
    out = dataset.expand_dims(chain=[0])
    return out.transpose("chain", "draw", ...)


def split_observed(program: Program, dataset: xarray.Dataset) -> tuple[xarray.Dataset, xarray.Dataset]:
    """The variables of observed sites, and all others."""
    observed = [v for v in dataset.data_vars if dataset[v].attrs.get("site", v) in program.observed]
    return dataset[observed], dataset.drop_vars(observed)
