"""Visitors of a live server: their frames, the camera of the server, and the threads that they share."""
