"""Writes a toy dataset with known anomalies: segment features, or rendered street scenes.

python -m data_prep.toy --out data/toy
python -m data_prep.toy --out data/full_size --train 810 810 --test 150 140 --width 1024
python -m data_prep.toy --kind scenes --out data/scenes --size 240x360 --train 10 --test 8
"""

import argparse
from typing import Any

from vadjax.data.store.frame_writer import ENCODINGS
from vadjax.data.toy.datasets import ToyBags, write_bags, write_scenes
from vadjax.data.toy.scenes import KINDS, LANES, ON_REQUEST, ToyScenes

from .lib import command
from .lib.command import parse_size

RECIPES = {"bags": ToyBags, "scenes": ToyScenes}
# Flags that each kind of set takes; `make_recipe` makes fields of them
FLAGS = {
    "bags": {"train", "test", "seed", "width", "strength"},
    "scenes": {
        "train",
        "test",
        "seed",
        "size",
        "frames",
        "crowd",
        "events",
        "kinds",
        "lanes",
        "noise",
    }
    | {"encoding"},
}


def make_parser() -> argparse.ArgumentParser:
    """The flags of both kinds; a flag that is not given leaves the recipe's default."""
    bags, scenes = ToyBags(), ToyScenes()  # whose defaults the help texts name
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.toy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kind", choices=RECIPES, default="bags", help="(default: bags)")
    command.add_output_flags(parser)
    parser.add_argument("--seed", type=int, help="seed of everything (default 0)")
    # Bags take two counts, scenes one: `make_recipe` compares them with --kind
    for split in ("train", "test"):
        bag_counts, scene_count = " ".join(map(str, getattr(bags, split))), getattr(scenes, split)
        parser.add_argument(
            f"--{split}",
            type=int,
            nargs="+",
            metavar="N",
            help=f"bags: normal and anomalous videos (default {bag_counts}); "
            f"scenes: videos (default {scene_count})",
        )
    _add_bag_flags(parser, bags)
    _add_scene_flags(parser, scenes)
    return parser


def _add_bag_flags(parser: argparse.ArgumentParser, bags: ToyBags) -> None:
    """Adds the flags that only bags take, with the defaults of `bags` in their help texts."""
    add = parser.add_argument_group("bags: two-stream segment features").add_argument
    add("--width", type=int, help=f"columns of each stream (default {bags.width})")
    add("--strength", type=float, help=f"of an anomaly (default {bags.strength})")


def _add_scene_flags(parser: argparse.ArgumentParser, scenes: ToyScenes) -> None:
    """Adds the flags that only scenes take, with the defaults of `scenes` in their help texts."""
    add = parser.add_argument_group("scenes: street scenes with masks, boxes, tracks").add_argument
    # What the pictures look like
    size = f"{scenes.height}x{scenes.width}"
    add("--size", type=parse_size, metavar="HxW", help=f"of a frame (default {size})")
    add("--frames", type=int, help=f"frames a video (default {scenes.frames})")
    add("--crowd", type=float, help=f"walkers in the picture (default {scenes.crowd})")
    # Which anomalies there are, and where
    add("--events", type=int, help=f"anomalies a test video (default {scenes.events})")
    add(
        "--kinds",
        nargs="+",
        choices=(*KINDS, *ON_REQUEST),
        help=f"of anomalies, in turn (default {' '.join(KINDS)})",
    )
    add(
        "--lanes",
        type=int,
        nargs="+",
        choices=LANES,
        help="1: far pavement, -1: near (default both)",
    )
    # How the frames are recorded and stored
    add("--noise", type=float, help=f"of the sensor, grey levels (default {scenes.noise})")
    add("--encoding", choices=ENCODINGS, help="raw for speed, jpeg for space, png without loss")


def make_recipe(kind: str, given: dict[str, Any]) -> ToyBags | ToyScenes:
    """The recipe of `kind` with the flags that were given.

    Args:
      kind: a name of `RECIPES`.
      given: name and value of each flag on the command line, without its dashes.

    Raises:
      ValueError: a flag of the other kind, or a wrong count of numbers after `--train` or `--test`.
    """
    if other_flags := set(given) - FLAGS[kind]:
        raise ValueError(f"--{', --'.join(sorted(other_flags))}: not for --kind {kind}; see --help")
    # From flags to fields: the recipe has no encoding, and a size is two numbers
    fields = {key: value for key, value in given.items() if key != "encoding"}
    if "size" in fields:
        fields["height"], fields["width"] = fields.pop("size")
    # Bags: normal and anomalous videos; scenes: one number of videos
    count = 2 if kind == "bags" else 1
    for split in {"train", "test"} & set(fields):
        if len(fields[split]) != count:
            raise ValueError(
                f"--{split} {' '.join(map(str, fields[split]))}: --kind {kind} takes {count} "
                f"number{'s' if count > 1 else ''}"
            )
        fields[split] = tuple(fields[split]) if count > 1 else fields[split][0]
    fields |= {name: tuple(fields[name]) for name in ("kinds", "lanes") if name in fields}
    return RECIPES[kind](**fields)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the set."""
    args = vars(make_parser().parse_args(argv))
    # The output flags are the writer's; the rest are checked against the kind
    flags = {key: value for key, value in args.items() if value is not None}
    kind, out, file_format = flags.pop("kind"), flags.pop("out"), flags.pop("format")
    shards, encoding = flags.pop("shards", None), flags.get("encoding", ENCODINGS[0])
    recipe = command.report_errors(make_recipe, kind, flags)
    if kind == "bags":
        manifest = command.report_errors(write_bags, out, recipe, file_format, shards)
    else:
        manifest = command.report_errors(write_scenes, out, recipe, file_format, shards, encoding)
    command.print_summary(out, manifest)


if __name__ == "__main__":
    command.run(main)
