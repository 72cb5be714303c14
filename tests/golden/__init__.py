"""Outputs of PyTorch kept as small .npz files, and the script that makes them."""
