"""Metrics over score files; no JAX, no models."""
