"""What Python programs call: a trained run, and networks for code of their own."""
