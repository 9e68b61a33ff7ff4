"""Features of clips from an I3D network in a folder of `python -m data_prep.weights` (spec i3d).

net = load_i3d("weights/i3d_rgb_kinetics400")
features = net(clips)          # uint8 [N, 16, 224, 224, 3] → float32 [N, 1, 1, 1, 1024]

of = SnippetFeatures.load("weights/i3d_rgb_kinetics400", Snippets("centre"))
for features in of(frames):    # frames uint8 [H, W, 3] → float32 [snippets, crops, 1024], in parts
    ...
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import jax
import ml_collections
import numpy as np

from vadjax.backbones import i3d, resnet3d
from vadjax.convert.published import PROVENANCE
from vadjax.data.segments import normalize_rows
from vadjax.data.store import loader
from vadjax.data.video.frame_stream import Frame, Stamp
from vadjax.data.video.snippets import CHANNELS, NORMALISATIONS, Snippets, normalise
from vadjax.extractors.batched import Batches, digest_of
from vadjax.formats import json_files

NORMALISATION_OF = {  # network → normalisation of the pixels that its weights were trained with
    "inception_i3d": "pm1",
    "resnet50_i3d": "kinetics",
    "resnet50_i3d_nonlocal": "kinetics",
}
BATCH = 4  # clips of a batch
MOST_CLASSES = 100_000  # most classes of a network that are accepted
AHEAD = 4  # batches that are decoded and cut before they are needed


class ClipFeatures:
    """A network that makes features of clips.

    Args:
      apply: (variables, normalised clips [batch, T, H, W, C]) → features [batch, …, width].
      variables: variables of the network.
      width: length of a feature.
      stream: "rgb" or "flow".
      normalisation: normalisation of the pixels, a name of `NORMALISATIONS`.
      batch: clips of a batch.
      about: other settings that decide the features; part of the digest.

    Attributes:
      width: length of a feature.
      stream: "rgb" or "flow".
      normalisation: name of the normalisation.
      digest: SHA-256 of weights and settings.
    """

    def __init__(
        self,
        apply: Callable,
        variables: dict,
        width: int,
        stream: str,
        normalisation: str,
        batch: int,
        about: Mapping,
    ):
        self.width, self.stream, self.normalisation = width, stream, normalisation
        self.digest = digest_of(variables, {**about, "normalisation": normalisation})
        self._channels = i3d.CHANNELS[stream]

        def normalised(variables, clips):
            return apply(variables, normalise(clips, normalisation))

        self._run = Batches(normalised, variables, batch)

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """Features float32 [N, T', H', W', width], one for each place of the network's last pool.

        16 frames of 224 × 224 pixels give a single place; a ResNet always gives a single place.

        Args:
          clips: uint8 or float [N, T, H, W, C], both in 0 … 255; C = 3 (RGB), or 2 (flow: x, y).

        Raises:
          ValueError: clips of another shape or type, or too small for the network.
        """
        is_number = clips.dtype == np.uint8 or np.issubdtype(clips.dtype, np.floating)
        if clips.ndim != 5 or clips.shape[-1] != self._channels or not is_number:
            raise ValueError(
                f"clips are {clips.dtype} {clips.shape}; a network for {self.stream} takes uint8 "
                f"or float [N, T, H, W, {self._channels}] in 0 … 255"
            )
        return self._run(clips if clips.dtype == np.uint8 else clips.astype(np.float32))


def load_i3d(
    folder: str | pathlib.Path, normalisation: str | None = None, batch: int = BATCH
) -> ClipFeatures:
    """Loads the I3D network of a folder.

    Args:
      folder: folder that `python -m data_prep.weights` wrote.
      normalisation: "pm1" (to -1 … 1), "kinetics" ((x - 114.75) / 57.375), or None for that of the
        network's training. Published extractors of 2048-d features use "pm1" although the network
        was trained with "kinetics" (§B4). A network for flow always takes "pm1" (§A4).
      batch: clips of a batch, shared out over the devices of this process that divide it.

    Raises:
      FileNotFoundError: the folder holds no weights.
      ValueError: no such normalisation, or the folder holds another network.
    """
    # The file beside the weights says which network they are for; it may come from anywhere.
    command = f"python -m data_prep.weights i3d_rgb_kinetics400 --out {folder}"
    path = pathlib.Path(folder) / PROVENANCE
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no weights here (no {PROVENANCE}). Run: {command}")
    info = json_files.read(path, {"network?": (str, None)})
    network = info.get("network")
    if network not in NORMALISATION_OF:
        raise ValueError(f"{path}: holds {info.get('name')!r:.40}, not an I3D. Run: {command}")
    json_files.check_fields(info, {"stream": str, "classes": int}, path)
    if info["stream"] not in i3d.CHANNELS or not 0 < info["classes"] <= MOST_CLASSES:
        raise ValueError(
            f"{path}: stream {info['stream']!r:.40} and {info['classes']:,} classes; expected "
            f"{' or '.join(i3d.CHANNELS)} and 1 to {MOST_CLASSES:,}"
        )
    # The normalisation, and the network with its shapes.
    normalisation = normalisation or NORMALISATION_OF[network]
    if normalisation not in NORMALISATIONS:
        names = ", ".join(NORMALISATIONS)
        raise ValueError(f"normalisation {normalisation!r}; expected one of {names}")
    stream, classes = info["stream"], info["classes"]
    if stream == "flow":
        normalisation = "pm1"
    if network == "inception_i3d":
        net, width = i3d.InceptionI3D(classes), i3d.WIDTH
        shapes = i3d.variable_shapes(stream, classes)
    else:
        non_local = network.endswith("nonlocal")
        net, width = resnet3d.ResNet50I3D(non_local, classes), resnet3d.WIDTH
        shapes = resnet3d.variable_shapes(non_local, classes)

    def apply(variables, clips):
        # A ResNet pools to one vector for each clip: it counts as one place.
        features = net.apply(variables, clips)["features"]
        return features.reshape(len(clips), *(features.shape[1:-1] or (1, 1, 1)), width)

    from vadjax.extractors.weights import restore  # loads Orbax, only needed here

    variables = restore(folder, shapes, batch)
    about = {"network": network, "stream": stream}
    return ClipFeatures(apply, variables, width, stream, normalisation, batch, about)


class SnippetFeatures:
    """Features of the snippets of a video, from one network or from two.

    Args:
      nets: one network, or two, RGB first, whose features stand side by side. A network maps uint8
        [N, 16, 224, 224, C] to float32 [N, ..., D] and has `digest`, `normalisation`, `stream` and
        `width`.
      snippets: how videos are cut; its `flow` is replaced: with a network for flow None becomes
        "dis", and without one it becomes None.
      batch: most clips that are handed to a network at once; at least one snippet is.
      normalize: whether to divide the features of each network by their L2 norm. This is not in
        `settings`.

    Attributes:
      snippets: how videos are cut.
      settings: what the features depend on besides the frames and `normalize`; JSON can hold it.

    Raises:
      ValueError: two networks that are not one for RGB and then one for flow.
    """

    def __init__(
        self,
        nets: ClipFeatures | Sequence[ClipFeatures],
        snippets: Snippets,
        batch: int,
        normalize: bool = False,
    ):
        # One network for each stream, RGB first: the order of the columns.
        nets = list(nets) if isinstance(nets, Sequence) else [nets]
        streams = [net.stream for net in nets]
        if streams not in (["rgb"], ["flow"], ["rgb", "flow"]):
            raise ValueError(
                f"networks for {' and '.join(streams)}; expected one, or one for rgb and then one "
                "for flow"
            )
        self._nets = dict(zip(streams, nets, strict=True))
        # Flow is computed only if a network takes it.
        flow = (snippets.flow or "dis") if "flow" in streams else None
        self.snippets = dataclasses.replace(snippets, flow=flow)
        self._at_once, self._normalize = max(batch // snippets.count, 1), normalize
        self.settings = {
            "weights": "+".join(net.digest for net in nets),
            "normalisation": nets[0].normalisation,
            **dataclasses.asdict(self.snippets),
        }

    @classmethod
    def load(
        cls,
        weights: str | pathlib.Path | Sequence[str | pathlib.Path],
        snippets: Snippets,
        normalisation: str | None = None,
        batch: int | None = None,
        normalize: bool = False,
    ) -> "SnippetFeatures":
        """Loads the network of one folder, or the networks of two.

        Args:
          weights: folder of `python -m data_prep.weights`, or the folders for RGB and for flow.
          snippets: how videos are cut.
          normalisation: as for `load_i3d`.
          batch: clips of a batch, shared out over the devices that divide it
            (`vadjax.runtime.mesh.make`). None takes `BATCH`, or the crops of a snippet if these are
            more, rounded up to a multiple of the devices.
          normalize: as for the class.

        Raises:
          FileNotFoundError, ValueError: as `load_i3d` and the class; a batch below 1.
        """
        folders = [weights] if isinstance(weights, str | pathlib.Path) else list(weights)
        if batch is not None and batch < 1:
            raise ValueError(f"--batch {batch}; expected 1 clip or more")
        devices = jax.device_count()
        batch = batch or -(-max(BATCH, snippets.count) // devices) * devices
        nets = [load_i3d(folder, normalisation, batch) for folder in folders]
        return cls(nets, snippets, batch, normalize)

    @property
    def widths(self) -> dict[str, int]:
        """Stream → number of its columns, in the order of the columns: "rgb", "flow"."""
        return {stream: net.width for stream, net in self._nets.items()}

    @property
    def width(self) -> int:
        """Number of columns of the features, D."""
        return sum(self.widths.values())

    def __call__(self, frames: Iterable[np.ndarray], ahead: int = AHEAD) -> Iterator[np.ndarray]:
        """Features of a video, float32 [n, crops, D], some snippets at a time.

        Args:
          frames: uint8 [H, W, 3], RGB, in order.
          ahead: batches of clips that a thread cuts before they are needed; 0 uses no thread.

        Raises:
          ValueError, ImportError: as `Snippets.cut`, while iterating.
        """
        clips = self.clips(frames)
        return map(self.features, loader.prefetch(clips, ahead) if ahead else clips)

    def rows(
        self, frames: Iterable[Frame], ahead: int = AHEAD
    ) -> Iterator[tuple[np.ndarray | None, tuple[Stamp, ...]]]:
        """Features of the snippets of a video one by one, and the frames that each stands for.

        Args:
          frames: of the video.
          ahead: as for a call.

        Yields:
          Features float32 [crops, D] and `Snippet.frames`; None for features where there are only
          frames behind the last snippet.
        """
        batches = self._clips_with_frames(frames)
        for clips, of_frames in loader.prefetch(batches, ahead) if ahead else batches:
            features = () if clips is None else self.features(clips)
            yield from itertools.zip_longest(features, of_frames)

    def _clips_with_frames(
        self, frames: Iterable[Frame]
    ) -> Iterator[tuple[np.ndarray | None, list[tuple[Stamp, ...]]]]:
        """As `clips`, with the frames of each snippet, and at the end those behind the last one."""
        snippets = self.snippets.cut_frames(frames)
        while group := list(itertools.islice(snippets, self._at_once)):
            clips = [snippet.pixels for snippet in group if snippet.pixels is not None]
            yield np.stack(clips) if clips else None, [snippet.frames for snippet in group]

    def clips(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The snippets of a video in parts of n, uint8 [n, crops, 16, 224, 224, 3].

        With a network for flow they have five channels, as those of `Snippets.cut`.

        Args:
          frames: uint8 [H, W, 3], RGB, in order.

        Raises:
          ValueError, ImportError: as `Snippets.cut`.
        """
        snippets = self.snippets.cut(frames)
        while part := list(itertools.islice(snippets, self._at_once)):
            yield np.stack(part)

    def features(self, clips: np.ndarray) -> np.ndarray:
        """Features of a part that `clips` yields, float32 [n, crops, D]."""
        # Every network gets all crops as rows, and the channels of its stream.
        rows = clips.reshape(-1, *clips.shape[2:])
        parts = [net(rows[..., CHANNELS[stream]]) for stream, net in self._nets.items()]
        parts = [part.reshape(*clips.shape[:2], -1) for part in parts]
        return np.concatenate(list(map(normalize_rows, parts)) if self._normalize else parts, -1)


def of_run(
    features: ml_collections.ConfigDict, manifest: Mapping, width: int, live: bool = False
) -> SnippetFeatures:
    """Opens the networks that make, from new video, the features that a run was trained on.

    How the features were made is read from the manifest, where `data_prep` wrote it. What it does
    not say is taken from the config.

    Args:
      features: section of the config: `weights` (folder of the network, or the folders for RGB and
        flow with a comma between), `crops`, `step`, `normalisation`, `flow`.
      manifest: manifest of the training dataset.
      width: columns of a feature of the training dataset.
      live: whether to make one snippet at a time, for a camera.

    Raises:
      FileNotFoundError: there are no such weights.
      ValueError: no weights are named, or they make other features than those of the training.
    """
    if not features.weights:
        raise ValueError(
            "features.weights is empty; to score video, name the network of the features that the "
            "run was trained on: --config.features.weights=FOLDER (python -m data_prep.weights)"
        )
    # Settings: the manifest's go before the config's, whose weights are the folders to load.
    extraction = dict(manifest.get("extraction") or {})
    settings = {**features, "trained_weights": extraction.pop("weights", ""), **extraction}
    snippets = Snippets(settings["crops"], settings["step"], True, settings["flow"] or None)
    of_snippets = SnippetFeatures.load(
        features.weights.split(","),
        snippets,
        settings["normalisation"] or None,
        snippets.count if live else None,
        settings.get("normalize", False),
    )
    if of_snippets.width != width:
        raise ValueError(
            f"{features.weights}: makes features of {of_snippets.width} columns, the run was "
            f"trained on {width}; name the network that made those"
        )
    # The weights must be the same: compared by stream, if the manifest has a digest for each; else
    # with its single digest, or not at all if it has none.
    loaded = dict(zip(of_snippets.widths, of_snippets.settings["weights"].split("+"), strict=True))
    digests = settings.get("trained_weights", "").split("+")
    by_stream = dict(zip(manifest["streams"], digests, strict=False)) if len(digests) > 1 else {}
    for stream, digest in loaded.items():
        trained = by_stream.get(stream, digests[0] or digest)
        if digest != trained:
            raise ValueError(
                f"{features.weights}: not the weights that made the features of the training "
                f"({stream}: SHA-256 {digest[:12]}… here, {trained[:12]}… there)"
            )
    return of_snippets
