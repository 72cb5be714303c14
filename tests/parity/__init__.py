"""Live comparison with PyTorch (`make parity`); skipped where PyTorch is not installed."""
