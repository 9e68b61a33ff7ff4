"""Datasets on disk and the input pipelines over them."""
