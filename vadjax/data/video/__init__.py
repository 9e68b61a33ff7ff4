"""Pixels: one reader of videos and pictures, and what is cut from them."""
