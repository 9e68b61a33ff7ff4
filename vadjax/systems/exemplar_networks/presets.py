"""The meaning of the fields of EVAL's feature networks (spec eval §3); they share no preset."""

FIELDS = {
    "model.network": "appearance or motion",
    "model.size": "side of the network's input, pixels",
    "optim.learning_rate": "of Adam, annealed to 0",
    "eval.batch": "images or volumes at once",
    # appearance
    "model.architecture": "small or resnext50",
    "model.classes": "names of the classes that are learnt",
    "model.blocks": "blocks of each stage of the small network",
    "model.weights": 'file of the trunk that resnext50 starts from; "" = start untrained',
    "eval.images": "largest number of images that are measured",
    # motion
    "model.width": "channels, as a share of the published number",
    "model.window": "(frames, height, width) of the volumes: that of the exemplar system",
    "model.tau": "pixels a frame from which a pixel moves: 0.3 on Ped1 and Ped2, 0.5 on Avenue and "
    "ShanghaiTech, 1.0 on Street Scene",
    "model.flow": "dis (milliseconds a frame), dis_light (two thirds, nearly the same flow), "
    "dis_half (a quarter, coarser) or tvl1 (about a second; what the paper has)",
    "data.step": "(frames, height, width) between the volumes to train on",
    "eval.held_out": "number of last training videos that are kept for the figures",
    "eval.volumes": "largest number of their volumes that are measured",
}
