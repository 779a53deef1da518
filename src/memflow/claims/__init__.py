"""Stage claims: which of the literature's findings hold in a study, claim by claim, by rules fixed beforehand."""
