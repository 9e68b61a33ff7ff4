"""Kernels worth a benchmark of their own."""
