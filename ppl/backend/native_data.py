"""Data with missing elements in native models."""

from __future__ import annotations

from ppl.errors import UnsupportedByBackend
from ppl.program.distributions import Distribution
from ppl.program.missing import known_elements
from ppl.program.statements import Sample

from .families import Library


def native_likelihood(site: Sample, backend: Library) -> Distribution:
    """The distribution of a site; its missing elements are masked where they are summed out.

    Raises:
        UnsupportedByBackend: the native model would need a density that the library does not have.
    """
    missing = site.missing
    if missing is None or missing.how != "summed":
        return site.dist
    if missing.numbers:
        raise UnsupportedByBackend(
            backend,
            "a native model of data in which single numbers of a vector are missing",
            f"{site.dist.family} has no density of some of its numbers there",
            "Use the inference of ppl, which sums them out.",
            site=site.name,
        )
    return site.dist.mask(known_elements(site))
