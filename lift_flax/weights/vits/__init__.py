"""ViTs as their authors save them: which tensor is which parameter of models/vit.py."""
