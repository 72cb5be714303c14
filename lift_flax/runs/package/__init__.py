"""Packages: a trained run as one folder, or one .zip, that can be given away.

It holds tensors, JSON and text, never code: no file of it is unpickled.
"""
