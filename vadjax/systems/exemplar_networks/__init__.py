"""Training of EVAL's feature networks: what a volume shows, and how it moves (spec eval §3)."""
