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
from vadjax.backbones.provenance import PROVENANCE
from vadjax.data.segments import normalize_rows
from vadjax.data.store import loader
from vadjax.data.video.frame_stream import Frame, Stamp
from vadjax.data.video.snippets import CHANNELS, NORMALISATIONS, Snippets, normalise
from vadjax.extractors.batched import Batches, digest_of
from vadjax.formats import json_files

OWN = {  # network → the normalisation that its weights were trained with
    "inception_i3d": "pm1",
    "resnet50_i3d": "kinetics",
    "resnet50_i3d_nonlocal": "kinetics",
}
BATCH = 4  # clips at once
MOST_CLASSES = 100_000  # of a network
AHEAD = 4  # batches that are decoded before they are needed


class ClipFeatures:
    """A network for clips.

    Args:
      apply: (variables, normalised clips [batch, T, H, W, C]) → features.
      variables: of the network.
      width: length of a feature.
      stream: "rgb" or "flow".
      normalisation: a name of `NORMALISATIONS`.
      batch: clips at once.
      about: what else decides the features; part of the digest.

    Attributes:
      width: length of a feature.
      stream: "rgb" or "flow".
      normalisation: its name.
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
        """Features float32 [N, T', H', W', width], one for each place of the network's pool.

        16 frames of 224 × 224 pixels give one place; a ResNet always gives one.

        Args:
          clips: uint8 or float [N, T, H, W, C], both in 0 … 255; C = 3 (RGB), or 2 (flow: x, y).

        Raises:
          ValueError: of another shape or type, or too small for the network.
        """
        known = clips.dtype == np.uint8 or np.issubdtype(clips.dtype, np.floating)
        if clips.ndim != 5 or clips.shape[-1] != self._channels or not known:
            raise ValueError(
                f"clips are {clips.dtype} {clips.shape}; a network for {self.stream} takes uint8 "
                f"or float [N, T, H, W, {self._channels}] in 0 … 255"
            )
        return self._run(clips if clips.dtype == np.uint8 else clips.astype(np.float32))


def load_i3d(
    folder: str | pathlib.Path, normalisation: str | None = None, batch: int = BATCH
) -> ClipFeatures:
    """The network of a folder.

    Args:
      folder: what `python -m data_prep.weights` wrote.
      normalisation: of RGB: "pm1" (to -1 … 1), "kinetics" ((x - 114.75) / 57.375), or None: the
        one of the network's training. Extractors of 2048-d features use "pm1" all the same (§B4).
        A network for flow always takes "pm1" (§A4).
      batch: clips at once, spread over the devices that divide it.

    Raises:
      FileNotFoundError: there is nothing of the kind.
      ValueError: no such normalisation, or the folder holds another network.
    """
    command = f"python -m data_prep.weights i3d_rgb_kinetics400 --out {folder}"
    path = pathlib.Path(folder) / PROVENANCE
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no weights here (no {PROVENANCE}). Run: {command}")
    found = json_files.read(path, {"network?": (str, None)})
    network = found.get("network")
    if network not in OWN:
        raise ValueError(f"{path}: holds {found.get('name')!r:.40}, not an I3D. Run: {command}")
    json_files.check_fields(found, {"stream": str, "classes": int}, path)
    if found["stream"] not in i3d.CHANNELS or not 0 < found["classes"] <= MOST_CLASSES:
        raise ValueError(
            f"{path}: stream {found['stream']!r:.40} and {found['classes']:,} classes; expected "
            f"{' or '.join(i3d.CHANNELS)} and 1 to {MOST_CLASSES:,}"
        )
    normalisation = normalisation or OWN[network]
    if normalisation not in NORMALISATIONS:
        known = ", ".join(NORMALISATIONS)
        raise ValueError(f"normalisation {normalisation!r}; expected one of {known}")
    stream, classes = found["stream"], found["classes"]
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
        features = net.apply(variables, clips)["features"]
        return features.reshape(len(clips), *(features.shape[1:-1] or (1, 1, 1)), width)

    from vadjax.extractors.weights import restore  # Orbax, where weights are read

    variables = restore(folder, shapes, batch)
    about = {"network": network, "stream": stream}
    return ClipFeatures(apply, variables, width, stream, normalisation, batch, about)


class SnippetFeatures:
    """Features of the snippets of a video: cut, cropped, and through the network or networks.

    Args:
      nets: uint8 [N, 16, 224, 224, C] → float32 [N, ..., D], each with `digest`, `normalisation`,
        `stream` and `width`; one, or two whose features stand side by side, RGB first.
      snippets: how videos are cut; `flow` is set ("dis" if it was None) where a network is for
        flow, and None where none is.
      batch: clips that are handed to a network at once.
      normalize: divide the features of each network by their L2 norm; not in `settings`.

    Attributes:
      snippets: how videos are cut.
      settings: all that the features depend on besides the frames; JSON can hold it.

    Raises:
      ValueError: two networks that are not one for RGB and one for flow.
    """

    def __init__(
        self,
        nets: ClipFeatures | Sequence[ClipFeatures],
        snippets: Snippets,
        batch: int,
        normalize: bool = False,
    ):
        nets = list(nets) if isinstance(nets, Sequence) else [nets]
        streams = [net.stream for net in nets]
        if streams not in (["rgb"], ["flow"], ["rgb", "flow"]):
            raise ValueError(
                f"networks for {' and '.join(streams)}; expected one, or one for rgb and then one "
                "for flow"
            )
        self._nets = dict(zip(streams, nets, strict=True))
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
        """With the network of a folder, or the two of two folders.

        Args:
          weights: the folder, of `python -m data_prep.weights`; or those of RGB and flow.
          snippets: how videos are cut.
          normalisation: as for `load_i3d`.
          batch: clips at once, spread over the devices that divide it (`vadjax.runtime.mesh.make`);
            None: `BATCH`, or the crops of a snippet where these are more, filled up to a multiple
            of the devices.
          normalize: as for the class.

        Raises:
          FileNotFoundError, ValueError: as `load_i3d` and the class.
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
        """Columns of the features by stream, in their order: "rgb", "flow"."""
        return {stream: net.width for stream, net in self._nets.items()}

    @property
    def width(self) -> int:
        """Columns of the features."""
        return sum(self.widths.values())

    def __call__(self, frames: Iterable[np.ndarray], ahead: int = AHEAD) -> Iterator[np.ndarray]:
        """Features of the frames of a video, float32 [n, crops, D], some snippets at a time.

        A thread cuts up to `ahead` batches of clips early; 0: none are cut before they are needed.
        """
        clips = self.clips(frames)
        return map(self.features, loader.ahead(clips, ahead) if ahead else clips)

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
        for clips, of_frames in loader.ahead(batches, ahead) if ahead else batches:
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
        """The snippets of a video as clips, uint8 [n, crops, 16, 224, 224, 3], n of them at once.

        With a network for flow they have five channels, as `Snippets.cut` has it.

        Args:
          frames: uint8 [H, W, 3], RGB, in order.

        Raises:
          ValueError, ImportError: as `Snippets.cut`.
        """
        found = self.snippets.cut(frames)
        while part := list(itertools.islice(found, self._at_once)):
            yield np.stack(part)

    def features(self, clips: np.ndarray) -> np.ndarray:
        """Features of what `clips` yields, float32 [n, crops, D]."""
        rows = clips.reshape(-1, *clips.shape[2:])
        found = [net(rows[..., CHANNELS[stream]]) for stream, net in self._nets.items()]
        found = [part.reshape(*clips.shape[:2], -1) for part in found]
        return np.concatenate(list(map(normalize_rows, found)) if self._normalize else found, -1)


def of_run(
    features: ml_collections.ConfigDict, manifest: Mapping, width: int, live: bool = False
) -> SnippetFeatures:
    """The features that a run was trained on, made from new video.

    How they are made is in the manifest, as `data_prep` wrote it; where it is not, the fields of
    the config say it.

    Args:
      features: section of the config: `weights` (the folder of the network; of RGB and flow with a
        comma between), `crops`, `step`, `normalisation`, `flow`.
      manifest: of the dataset of the training.
      width: columns of a feature there.
      live: one snippet at a time.

    Raises:
      FileNotFoundError: there are no such weights.
      ValueError: none are named, or they make other features than those of the training.
    """
    if not features.weights:
        raise ValueError(
            "features.weights is empty; to score video, name the network of the features that the "
            "run was trained on: --config.features.weights=FOLDER (python -m data_prep.weights)"
        )
    extraction = dict(manifest.get("extraction") or {})
    known = {**features, "trained_weights": extraction.pop("weights", ""), **extraction}
    snippets = Snippets(known["crops"], known["step"], True, known["flow"] or None)
    of_snippets = SnippetFeatures.load(
        features.weights.split(","),
        snippets,
        known["normalisation"] or None,
        snippets.count if live else None,
        known.get("normalize", False),
    )
    if of_snippets.width != width:
        raise ValueError(
            f"{features.weights}: makes features of {of_snippets.width} columns, the run was "
            f"trained on {width}; name the network that made those"
        )
    own = dict(zip(of_snippets.widths, of_snippets.settings["weights"].split("+"), strict=True))
    digests = known.get("trained_weights", "").split("+")
    there = dict(zip(manifest["streams"], digests, strict=False)) if len(digests) > 1 else {}
    for stream, digest in own.items():
        trained = there.get(stream, digests[0] or digest)
        if digest != trained:
            raise ValueError(
                f"{features.weights}: not the weights that made the features of the training "
                f"({stream}: SHA-256 {digest[:12]}… here, {trained[:12]}… there)"
            )
    return of_snippets
