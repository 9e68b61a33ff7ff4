"""Writes a toy dataset of segment features with known anomalies.

python -m data_prep.toy --out data/toy
python -m data_prep.toy --out data/full_size --train 810 810 --test 150 140 --width 1024
"""

import argparse

from data_prep import command
from vadjax.data.toy import ToyBags, write_bags


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the set."""
    default = ToyBags()
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.toy",
        description="Seeded toy bags: two-stream segment features with known anomalous segments.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_output_flags(parser)
    pair = {"type": int, "nargs": 2, "metavar": ("NORMAL", "ANOMALOUS")}
    parser.add_argument("--train", default=default.train, help="training videos", **pair)
    parser.add_argument("--test", default=default.test, help="test videos", **pair)
    parser.add_argument("--width", type=int, default=default.width, help="columns of each stream")
    parser.add_argument("--strength", type=float, default=default.strength, help="of an anomaly")
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of everything")
    args = parser.parse_args(argv)
    recipe = ToyBags(
        train=tuple(args.train),
        test=tuple(args.test),
        width=args.width,
        strength=args.strength,
        seed=args.seed,
    )
    manifest = command.report_errors(write_bags, args.out, recipe, args.format, args.shards)
    command.print_summary(args.out, manifest)


if __name__ == "__main__":
    main()
