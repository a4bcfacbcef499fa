"""Sites that are summed out exactly, and how their draws come back."""

from .enumeration import computed_late, draw_exact

__all__ = ["computed_late", "draw_exact"]
