"""Forms of operations for CPU, where XLA's are slow or need much memory.

Only `vadjax.ops` may import this package.
"""
