"""Where a phase starts from: the teacher of another run, or any run."""
