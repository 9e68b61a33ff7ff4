"""New video and cameras, scored by a finished run."""
