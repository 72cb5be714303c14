"""Outputs of PyTorch kept as small .npz files, and the script that makes them."""

from pathlib import Path

FOLDER = Path(__file__).parent
