"""ShanghaiTech features (weakly-supervised split) → dataset of bags.

    python -m data_prep.shanghaitech_features --features FOLDER --out data/shanghaitech_bags

FOLDER holds features [tau, crops, D] of every video, as S3R lays them out
(i3d/{train,test}/VIDEO_i3d.npy) or in any folders, or as PEL4VAD a file [tau, D] for each crop,
VIDEO_0.npy ... VIDEO_9.npy; S3R's shanghaitech.training.csv and shanghaitech.testing.csv or the
.list files of RTFM or PEL4VAD; and the labels of the test frames
(shanghaitech_ground_truth.testing.json or gt-sh.npy). Lists and labels may be elsewhere: --labels
names their folder, or --train_list, --test_list and --truth the files.

Videos are anomalous by a column `label` of the CSV, or by a label after the path (PEL4VAD); without
labels the published lists have 63 anomalous and then 175 normal training videos, 44 and then 155
test videos. --sampling makes 32
segments of the snippets of a training video, `linear` as S3R or `mean` as RTFM; test videos keep
all snippets, and their labels are padded with the last to whole snippets.
"""

import pathlib

from .lib import bags, command


def prepare(
    features: str | pathlib.Path,
    out: str | pathlib.Path,
    labels: str | pathlib.Path | None = None,
    *,
    train_list: str | pathlib.Path | None = None,
    test_list: str | pathlib.Path | None = None,
    truth: str | pathlib.Path | None = None,
    name: str = "shanghaitech",
    **options,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Raises:
      FileNotFoundError: a folder, list, feature file or label is not there.
      ValueError: a file that cannot be used; the message names it.
    """
    # Lists and labels lie among the features or beside their folder, unless their place is named
    folder = pathlib.Path(features)
    folders = [pathlib.Path(labels)] if labels else [folder, folder.parent]
    lists = bags.choose_lists(folders, train_list, test_list, truth)
    if lists is None:
        raise FileNotFoundError(
            f"{folders[0]}: no list of videos (*.training.csv and *.testing.csv, or two .list "
            "files); name their folder with --labels"
        )
    published = bags.PUBLISHED["shanghaitech"]
    return bags.prepare(folder, out, lists, name=name, published=published, **options)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    bags.run(bags.parser("shanghaitech_features", __doc__, "shanghaitech"), prepare, argv)


if __name__ == "__main__":
    command.run(main)
