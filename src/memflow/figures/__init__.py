"""Figures: each module turns counts or scores into a tidy table, and the table into axes."""
