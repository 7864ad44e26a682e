"""Scores and artifacts to what people look at: tables, claims, the report, figures."""
