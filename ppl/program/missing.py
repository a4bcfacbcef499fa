"""Missing data: which elements of a site's data are missing, and what stands in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .ops import apply, element, leave
from .values import DType, Plate, Shape, Value, reference

if TYPE_CHECKING:
    from .statements import Sample

# Inputs that transforms bring along, under the name of a site: values that `do` sets, and where data is missing.
OWN_INPUTS = ("do.", "known.", "slot.", "at.", "given.")


@dataclass(frozen=True)
class Missing:
    """How the missing elements of a site's data are treated.

    Attributes:
        how: "summed" out of the density; "imputed", as a latent site of their own; or "enumerated", where the whole
            site is a latent whose known elements are held fast.
        count: number of missing elements.
        total: number of all elements.
        numbers: whether single numbers are missing rather than whole elements, where the family joins several.
    """

    how: Literal["summed", "imputed", "enumerated"]
    count: int
    total: int
    numbers: bool = False

    def __str__(self) -> str:
        what = {"summed": "summed out", "imputed": "imputed", "enumerated": "summed out by their values"}[self.how]
        return f"{self.count} of {self.total} missing, {what}"


def is_own_input(name: str) -> bool:
    """Whether an input was brought along by a transform, and so has no name of the user's."""
    return name.startswith(OWN_INPUTS)


def missing_site(name: str) -> str:
    """The latent site that holds the missing elements of a site."""
    return f"{name}.missing"


def missing_plate(name: str, count: int) -> Plate:
    """The plate of the missing elements of a site."""
    return Plate(f"{name}.gaps", count)


def known_factor(name: str) -> str:
    """The factor that holds the known elements of an enumerated site fast."""
    return f"{name}.known"


def mask_shape(site: Sample, missing: Missing) -> Shape:
    """Shape of what may be missing in one element of a plate: independent elements, or numbers."""
    return site.dist.event_shape if missing.numbers else site.dist.element_shape


def own_input(prefix: str, site: Sample, shape: Shape, dtype: DType) -> Value:
    """One element of an input that has the plates of a site."""
    sizes = tuple(p.size for p in site.plates)
    value = reference("input", f"{prefix}.{site.name}", (), sizes + shape, dtype)
    for plate in site.plates:
        value = element(value, plate)
    return value


def known_elements(site: Sample) -> Value:
    """Which elements of a site with missing data are known."""
    assert site.missing is not None
    return own_input("known", site, mask_shape(site, site.missing), "bool")


def completed(site: Sample, data: Value, free: Value) -> Value:
    """The data of a site with its missing elements filled in.

    Args:
        site: a site whose missing elements are imputed.
        data: its data; what stands where elements are missing does not matter.
        free: the missing elements, over the plate of the site that holds them.
    """
    missing = site.missing
    assert missing is not None
    shape = mask_shape(site, missing)
    slot = own_input("slot", site, shape, "int")
    plate = missing_plate(site.name, missing.count)
    array = leave(free, (plate,)) if plate in free.plates else free
    return apply("where", _widened(known_elements(site), site), data, apply("take", array, slot))


def held(site: Sample, data: Value, drawn: Value) -> Value:
    """The data of a site where it is known, draws of the site elsewhere."""
    return apply("where", _widened(known_elements(site), site), data, drawn)


def gathered(site: Sample, value: Value) -> Value:
    """The missing elements of a site, over the plate of the site that holds them, from values of all its elements."""
    missing = site.missing
    assert missing is not None
    count = 1
    for plate in site.plates:
        count *= plate.size
        if plate not in value.plates:
            index = Value("plate_index", (), (("plate", plate),), (plate,), (), "int")
            value = apply("add", value, apply("multiply", index, 0))
    for size in mask_shape(site, missing):
        count *= size
    rest = site.dist.event_shape[len(mask_shape(site, missing)) :]
    plate = missing_plate(site.name, missing.count)
    at = element(reference("input", f"at.{site.name}", (), (missing.count,), "int"), plate)
    whole = leave(value, site.plates) if site.plates else value
    return apply("take", apply("reshape", whole, shape=(count, *rest)), at)


def _widened(known: Value, site: Sample) -> Value:
    """Which elements are known, with axes of size one for the event of each."""
    more = len(site.dist.event_shape) - known.ndim
    return apply("reshape", known, shape=(*known.shape, *(1,) * more)) if more and known.ndim else known
