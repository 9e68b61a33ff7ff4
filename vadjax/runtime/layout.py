"""Names of what is in the folder of a run, for programs with JAX and without."""

CONFIG = "config.json"
DATASET = "dataset.json"  # describes the dataset, for use of the run without it
METRICS = "metrics.json"
LOCK = "lock"  # who is writing here; the file goes with the program
CHECKPOINTS = "checkpoints"
FINISHED = "finished"  # the state of a finished run
PASSING = "evaluating"  # through which several processes pass on their scores
OBJECTS = "objects"  # found in the videos of the dataset, each video once
FEATURES, CLUSTERS = "features", "clusters_{version}"  # of EVAL: of volumes, exemplars of a video
TOY = "toy_data"  # the toy set of a run whose config names no dataset
HALF = ".orbax-checkpoint-tmp"  # in the names of checkpoints that orbax has not finished
