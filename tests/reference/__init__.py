"""The networks in plain PyTorch, written for the tests: what ours must agree with."""
