"""Learning: training from files, and the learner that follows the log."""
