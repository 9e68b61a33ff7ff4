"""Files of other programs, one module a format; no JAX."""
