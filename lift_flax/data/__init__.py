"""Video data path: records, frame sampling, decoding, and the views that the model sees."""
