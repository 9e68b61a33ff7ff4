"""What is there because XLA is slow or hungry on CPU. Only `vadjax.ops` may import it."""
