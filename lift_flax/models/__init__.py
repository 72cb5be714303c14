"""The networks: R(2+1)D, partial ViT, fusion and the whole LIFT-Net."""
