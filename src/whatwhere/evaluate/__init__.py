"""Scores: accumulate counts, leave out what is ignored, divide once at the end."""
