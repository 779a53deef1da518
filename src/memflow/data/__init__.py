"""Datasets: one file per source, and the prepared form that every later stage reads."""
