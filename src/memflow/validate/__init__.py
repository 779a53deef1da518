"""A study's scores against published ones, or the user's own."""
