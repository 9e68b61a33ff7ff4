"""Score files, and scores as they come; no JAX."""
