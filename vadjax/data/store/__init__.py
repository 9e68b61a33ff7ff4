"""Datasets on disk: written, read, checked, handed to the training loop."""
