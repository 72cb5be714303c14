"""Work on videos that may hang or crash a process: done in others, within limits."""
