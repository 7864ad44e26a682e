"""The stages of the pipeline: each turns one artifact on disk into the next (DESIGN: one arrow each)."""
