"""Parts of the picture that are ignored: they are black in every frame. No JAX.

A dataset keeps them in its manifest as text (`ignored`), so that a run knows them and video that
it scores later gets the same black parts.
"""

import base64
import binascii
import math
import pathlib

import cv2
import numpy as np

from vadjax.data.video import pictures
from vadjax.data.video.mask_pictures import read_mask

MOST_TEXT = 1 << 22  # letters of a mask in a manifest
SAME_ASPECT = 1.01  # ratio of two aspects up to which a mask fits frames of another size


class Ignored:
    """Pixels to ignore, for frames of any size of one aspect ratio.

    Args:
      mask: bool [H, W], true = ignored.

    Raises:
      ValueError: all pixels are to be ignored, or none.
    """

    def __init__(self, mask: np.ndarray):
        share = float(mask.mean())
        if share in (0.0, 1.0):
            raise ValueError(
                f"the mask covers {'nothing' if not share else 'the whole picture'}; paint what is "
                "to be ignored white on black"
            )
        self.mask, self.share = mask, share
        self._fitted = mask  # to the size of the last frame

    @classmethod
    def read(cls, path: str | pathlib.Path) -> "Ignored":
        """The mask of a picture file, whose pixels count as in `mask_pictures`.

        Raises:
          FileNotFoundError: no such file.
          ValueError: no readable picture, or as the class.
        """
        path = pathlib.Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such picture (--mask)")
        try:
            return cls(read_mask(path).pixels)
        except ValueError as error:
            if str(path) in str(error):
                raise
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_text(cls, text: str, where: object) -> "Ignored":
        """The mask that `to_text` wrote.

        Args:
          text: the text.
          where: what it is from, for messages.

        Raises:
          ValueError: it is no mask.
        """
        try:
            if len(text) > MOST_TEXT:
                raise ValueError(f"{len(text):,} letters")
            content = base64.b64decode(text, validate=True)
            pictures.check_size(content)
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
            if pixels is None:
                raise ValueError("no picture")
            return cls(pixels > 0)
        except (ValueError, binascii.Error, cv2.error) as error:
            raise ValueError(f"{where}: not the text of a mask ({error})") from error

    def to_text(self) -> str:
        """The mask as text: a PNG in Base64."""
        levels = self.mask.astype(np.uint8) * 255
        _, content = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_BILEVEL, 1])
        return base64.b64encode(content.tobytes()).decode("ascii")

    def check(self, size: tuple[int, int], what: str) -> None:
        """Raises ValueError unless frames of (H, W) `size` have the aspect ratio of the mask."""
        height, width = self.mask.shape
        if abs(math.log(size[0] * width / (size[1] * height))) > math.log(SAME_ASPECT):
            raise ValueError(
                f"{what}: frames of {size[0]} x {size[1]} pixels (H x W), the mask has {height} x "
                f"{width}; paint it on a frame of this camera"
            )

    def black(self, pixels: np.ndarray) -> np.ndarray:
        """A copy of a frame, uint8 [H, W, 3], whose ignored pixels are 0."""
        if self._fitted.shape != pixels.shape[:2]:
            size = pixels.shape[1::-1]
            self._fitted = cv2.resize(
                self.mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST
            ).view(bool)
        pixels = pixels.copy()
        pixels[self._fitted] = 0
        return pixels
