"""Readers of the files that other programs write, one module a format; nothing here needs JAX."""
