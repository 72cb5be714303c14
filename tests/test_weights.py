"""Converting weights: every tensor accounted for, files refused, and what travels with them."""
