"""What a frozen ViT makes of clips: computed by itself, outside of the steps, or once for each view and kept."""
