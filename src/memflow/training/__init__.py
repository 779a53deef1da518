"""Training: blocks of seeds, and the learner that trains networks by SGD."""
