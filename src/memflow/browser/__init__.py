"""Stage browser: a gallery of every training example of a study, opened from disk without a server or a network."""
