"""EVAL: explainable localisation by exemplars per region (spec eval)."""
