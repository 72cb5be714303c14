"""Tests mirror the packages; golden files lie beside the script that made them."""
