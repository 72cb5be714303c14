"""The live page, and its answers for programs: a camera in front of a trained run."""
