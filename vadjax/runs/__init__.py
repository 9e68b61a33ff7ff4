"""The runs below a folder: a list, and removal of what can be made again."""
