"""One program per source: checks, converts and shards it into a dataset."""
