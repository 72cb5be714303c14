"""Writes a trained run for others: as one file that answers without this project, or as a package."""
