"""SSMTL: a 3-D network over object crops, trained on four proxy tasks at once."""
