"""Reports over score files: figures, tables and one page; no JAX, no models."""
