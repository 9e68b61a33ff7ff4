"""Objects, how fast they move and what they look like, against normal video (spec attributes)."""
