"""What `benchmarks.gpu` measures, part by part, and the tables that it prints."""
