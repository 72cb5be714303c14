"""One leaf file per experiment; every field and its default stands in common.py."""
