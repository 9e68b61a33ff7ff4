"""Frozen networks as functions from pixels to features."""
