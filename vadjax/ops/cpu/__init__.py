"""What is there because XLA is slow on CPU, behind one door: `vadjax.ops`."""
