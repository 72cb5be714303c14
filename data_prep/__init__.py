"""From folders of videos to TFDS ArrayRecord; nothing here is needed at training time."""
