"""Built-in data: small sets that are drawn when they are needed."""
