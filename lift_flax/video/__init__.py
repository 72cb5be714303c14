"""Video files and frames: decoding, inspection, sampling, scaling, flow, encoding; without JAX."""
