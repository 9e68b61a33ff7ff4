r"""Trains, evaluates and reports one config.

    python -m vadjax.main --config=configs/ucf_mil.py --workdir=runs/ucf_mil \
        --config.data.dir=DATASET [--mode=evaluate] [--config.train.steps=300]

Without --config.data.dir a config runs on a small built-in toy set. The same command again
resumes; docs/runs.md tells what a workdir holds. With --mode=predict --video=WHAT, which needs no
--config, the finished run
scores a video file, a folder of frames, a folder of such, or a camera (its number or address);
with --live NAME=SOURCE … several of them at once (docs/live.md has alerts and more). With
--mode=extend --config.data.dir=OTHER --out=NEW a run of a system that can is written to NEW, which
also knows the normal videos of another dataset of the same camera; with --video=FILE
[--frames=START:STOP] in place of the dataset it knows that video, or those frames of it.
--config=FILE --help lists the fields of a config, what each means and what it is.

Several processes run one training or evaluation together with --distributed=auto (TPU pods, Slurm),
or --distributed=HOST:PORT,COUNT,ID, an address of the first one, their number, and which this is.
"""

import pathlib
import sys
import traceback

from absl import app, flags, logging
from ml_collections import config_flags

from vadjax.runtime import command
from vadjax.runtime.arguments import parse_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "FILE[:VARIANT] in configs/, and fields.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; made if it is not there.")
_MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "evaluate", "predict", "extend"], "What to do."
)
_STEP = flags.DEFINE_integer("step", None, "Checkpoint to evaluate (newest, or best if selected).")
_VIDEO = flags.DEFINE_string(
    "video", None, "predict: video file, folder, or camera (0, rtsp://…). extend: normal video."
)
_FRAMES = flags.DEFINE_string("frames", None, "extend: START:STOP of the video that were normal.")
_OUT = flags.DEFINE_string(
    "out", None, "predict: where to write (WORKDIR/predict). extend: new run."
)
_LIVE = flags.DEFINE_bool("live", False, "predict: a line for every 16 frames as they come.")
_FILM = flags.DEFINE_bool("film", True, "predict: also write the video with its scores.")
_FPS = flags.DEFINE_float("fps", None, "predict: frames a second (a file's, or the training's).")
_DEINTERLACE = flags.DEFINE_bool("deinterlace", False, "predict: whole frames of interlaced video.")
_STRICT = flags.DEFINE_bool("strict", False, "predict: a video cut short or damaged is an error.")
_DISTRIBUTED = flags.DEFINE_string(
    "distributed", None, "Run with other processes: auto, or HOST:PORT,COUNT,ID."
)
_NAME = flags.DEFINE_string("name", None, "predict: name of the video or camera (its own).")
_ALERT = flags.DEFINE_multi_string(
    "alert",
    [],
    "live: command, https://… or mqtt://… that gets a record of each event; repeatable.",
)
_ALERT_RULES = flags.DEFINE_string("alert_rules", None, "live: file of zones, hours and classes.")
_COOL_DOWN = flags.DEFINE_float("cool_down", 10.0, "live: seconds without alert after an event.")
_CLIPS = flags.DEFINE_bool("clips", False, "live: a film of each event.")
_KEEP_DAYS = flags.DEFINE_float("keep_days", None, "live: days until snapshots and clips go.")
_SERVE = flags.DEFINE_string("serve", None, "live: ADDRESS:PORT of a page of what is watched.")
_SERVE_TOKEN = flags.DEFINE_string("serve_token", None, "live: file with the token of the page.")
_LIVE_FLAGS = (_ALERT, _ALERT_RULES, _COOL_DOWN, _CLIPS, _KEEP_DAYS, _SERVE, _SERVE_TOKEN)
flags.mark_flags_as_required(["workdir"])
flags.FLAGS.set_gnu_getopt()  # --live NAME=SOURCE may stand before other flags


def main(argv: list[str]) -> None:
    """Hands the flags to the mode's function; bad input ends the program in one line."""
    sources = argv[1:] if _MODE.value == "predict" and _LIVE.value else []
    if argv[1:] != sources:
        sys.exit(f"error: unexpected arguments {argv[1:]}; every flag is --name=value")
    logging.set_verbosity(logging.FATAL)  # what orbax logs as an error it raises too
    check_flags(sources)
    import jax  # after the flags: --help is instant

    from vadjax import evaluate, extend, train
    from vadjax.data.video.reader import Reading
    from vadjax.runtime import compiled, heap, processes, progress, space

    compiled.use()
    if _MODE.value == "train" and not _DISTRIBUTED.value and not _plain_ops():
        heap.prepare()
    try:
        # With other processes, before anything asks JAX for its devices; then the mode.
        if _DISTRIBUTED.value:
            processes.start(_DISTRIBUTED.value)
        if _MODE.value == "train":
            train.run(_CONFIG.value, _WORKDIR.value)
        elif _MODE.value == "evaluate":
            evaluate.run(_CONFIG.value, _WORKDIR.value, _STEP.value)
        elif _MODE.value == "extend":
            reading = Reading(_DEINTERLACE.value, _STRICT.value)
            of_video = _VIDEO.value, _FRAMES.value
            extend.run(_CONFIG.value, _WORKDIR.value, _OUT.value, *of_video, reading)
        else:
            with progress.warnings_as_lines(), command.terminable():
                failed = _predict(sources)
            if failed:
                lines = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
                sys.exit(f"error: {len(failed):,} could not be scored to the end:\n{lines}")
    # Errors of the input are one line. With several processes every error is said by this one
    # before it ends, because the others would wait for it.
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        processes.end(processes.told(error))
    except jax.errors.JaxRuntimeError as error:
        if processes.count() == 1:
            raise
        message = command.memory_told(error)
        processes.end(f"error: {message}" if message else processes.lost(error))
    except Exception as error:
        if processes.count() == 1:
            raise
        message = space.told(error) or command.memory_told(error)
        processes.end(f"error: {message}" if message else traceback.format_exc())


def _plain_ops() -> bool:
    """Whether the config turns off what is only for CPU."""
    return _CONFIG.value.get("runtime", {}).get("plain_ops", False)


def _predict(sources: list[str]) -> dict[str, str]:
    """Scores what the flags name, or watches the cameras `NAME=SOURCE`; those that failed."""
    from vadjax.data.video.reader import Reading
    from vadjax.live.options import LiveOptions, parse_sources
    from vadjax.predict import cameras
    from vadjax.predict import run as predict

    # How video is read, and what is done with the events of what is watched.
    reading = Reading(_DEINTERLACE.value, _STRICT.value)
    options = LiveOptions(
        tuple(_ALERT.value),
        pathlib.Path(_ALERT_RULES.value) if _ALERT_RULES.value else None,
        _COOL_DOWN.value,
        _CLIPS.value,
        _KEEP_DAYS.value,
        _SERVE.value or "",
        pathlib.Path(_SERVE_TOKEN.value) if _SERVE_TOKEN.value else None,
    )
    # Cameras by their names, or what --video names.
    if sources:
        named = parse_sources(sources)
        run = (_CONFIG.value, _WORKDIR.value)
        return cameras.watch_several(*run, named, _OUT.value, options, reading)
    return predict.run(
        _CONFIG.value,
        _WORKDIR.value,
        _VIDEO.value,
        _OUT.value,
        as_it_comes=_LIVE.value,
        film=_FILM.value,
        fps=_FPS.value,
        name=_NAME.value,
        reading=reading,
        watching=options,
    )


def check_flags(sources: list[str]) -> None:
    """Ends the program in one line at a flag that the mode does not use, or one that it needs."""
    others = (_VIDEO, _FRAMES, _OUT, _LIVE, _FILM, _FPS, _NAME, _DEINTERLACE, _STRICT, _STEP)
    for flag in (*others, *_LIVE_FLAGS):
        other = {"step": ("evaluate",), "out": ("predict", "extend")}
        both = "predict", "extend"
        other |= {"video": both, "deinterlace": both, "strict": both, "frames": ("extend",)}
        modes = other.get(flag.name, ("predict",))
        if flag.present and _MODE.value not in modes:
            sys.exit(f"error: --{flag.name} is only for --mode={' and --mode='.join(modes)}")
    if _CONFIG.value is None and _MODE.value != "predict":
        sys.exit(f"error: --mode={_MODE.value} needs --config={_config_to_name()}")
    if _MODE.value in ("predict", "extend") and _DISTRIBUTED.value:
        sys.exit("error: --distributed is for --mode=train and --mode=evaluate")
    if _MODE.value == "extend" and not _OUT.value:
        sys.exit("error: --mode=extend needs --out=FOLDER, the workdir of the new run")
    if _FRAMES.value and not _VIDEO.value:
        sys.exit("error: --frames needs --video, the video that they are of")
    if _MODE.value == "predict":
        _check_predict(sources)


def _config_to_name() -> str:
    """What `--config` should name: the config of the run in the workdir, if it says which."""
    from vadjax.runtime import provenance

    try:
        named = provenance.config_named(pathlib.Path(_WORKDIR.value))
    except (OSError, ValueError):
        named = None
    return f"{named}, with which this run was made" if named else "FILE, such as configs/camera.py"


def _check_predict(sources: list[str]) -> None:
    """Ends the program in one line at flags of prediction that do not fit together."""
    from vadjax.data.video.camera import is_camera
    from vadjax.live.options import parse_sources

    if sources:
        try:
            parse_sources(sources)
        except ValueError as error:
            sys.exit(f"error: {error}")
        for flag in (_VIDEO, _NAME, _FPS):
            if flag.present:
                sys.exit(f"error: --{flag.name} is not for --live NAME=SOURCE, which says it all")
    elif not _VIDEO.value:
        sys.exit("error: --mode=predict needs --video=FILE, FOLDER or CAMERA")
    elif not _LIVE.value and not is_camera(_VIDEO.value):
        for flag in _LIVE_FLAGS:
            if flag.present:
                sys.exit(f"error: --{flag.name} is for video as it comes; say --live too")


if __name__ == "__main__":
    command.run(lambda: app.run(main, flags_parser=parse_flags))
