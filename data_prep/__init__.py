"""Folders of videos to TFDS ArrayRecord; training needs nothing of this package."""
