"""Worlds, estimands and identification (reserved room: `do` lives in `ppl.transforms`)."""
