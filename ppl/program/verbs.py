"""What a person does with a program, in the user's words.

These methods reach into higher rooms (transforms, backend), so each imports what it needs when it is called. This is
the one file that the layering test allows to do so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppl.program.program import Program


class Verbs:
    """Mixin of `Program`: transforms, checks and compilation."""

    def observe(self, **data: Any) -> Program:
        """Condition on data.

        Args:
            data: an array for each observed site, plates in front (outermost first), then the event.

        Returns:
            A new program in which these sites are observed.

        Raises:
            DataError: NaN, unknown site, wrong dtype.
            ShapeError: the data does not have the shape of plates and event.
            SupportError: the data lies outside the support.
        """
        from ppl.transforms.observe import observe

        return observe(self, data)  # type: ignore[arg-type]

    def do(self, **values: Any) -> Program:
        """Intervene: cut sites from their parents and set their values.

        Args:
            values: a number, an array of one element's shape, or one with the site's plates in front.

        Returns:
            A new program in which these sites are constants.
        """
        from ppl.transforms.do import do

        return do(self, values)  # type: ignore[arg-type]

    def bind(self, **inputs: Any) -> Program:
        """The same declaration on other inputs of the same rank; plates take their new sizes.

        What is observed in a plate is dropped if an input that the plate maps over had other values before, because the
        data belongs to the old rows; observe again to keep it: `program.bind(x=x).observe(y=y)`.

        Raises:
            ShapeError: an input has another rank or other event axes.
            PlateError: an input has no rows, or a parameter has a value for each of the old rows.
        """
        from ppl.transforms.bind import bind

        return bind(self, inputs)  # type: ignore[arg-type]

    def check(self, guide: Program) -> None:
        """Compare a guide with this model before anything runs.

        Raises:
            GuideError: a latent without a guide site, a site the model lacks, different plates or shapes.
            SupportError: a guide site with another support.
        """
        from ppl.program.check import check_guide
        from ppl.transforms.exact import exact_sites

        check_guide(self, guide, exact_sites(self))  # type: ignore[arg-type]

    def to_source(self, backend: str) -> str:
        """The compiled program as text: an ordinary Pyro or NumPyro model.

        Args:
            backend: "pyro" or "numpyro".
        """
        from ppl.backend.native import native_source

        return native_source(self, backend)  # type: ignore[arg-type]
