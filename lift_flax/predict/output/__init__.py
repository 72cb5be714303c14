"""Answers as files and as text: what `lift-flax predict` prints and writes."""
