"""The brightness of RGB pixels."""

LUMA = (0.299, 0.587, 0.114)  # weights of R, G and B (ITU-R BT.601)
