"""What a training run shows on the screen."""
