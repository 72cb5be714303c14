"""Weights from elsewhere, as a start for training."""
