"""Domain-knowledge constraints (reserved room: its statements come with the knowledge language)."""
