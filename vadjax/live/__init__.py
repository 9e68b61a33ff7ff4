"""Events while a camera is watched: alerts, clips, and a page; no JAX, no model."""
