"""How a run runs: devices, processes, checkpoints, files, progress; no method knows them."""
