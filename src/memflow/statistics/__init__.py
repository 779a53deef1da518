"""Statistics: intervals of proportions, resampling of groups, bi-modality, noise correction."""
