"""What two fractions may differ by and be equal."""

ROUNDING = 1e-9  # keeps a difference of fractions that equals a threshold from exceeding or missing it
