"""Answers for a camera: which of its frames make a clip, and what is kept from one answer to the next."""
