"""S3R and its RTFM baseline: weakly-supervised detection on bags of snippet features."""
