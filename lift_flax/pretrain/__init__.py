"""Learning from clips without their labels: where a training can start."""
