"""Records of a split on their way to the shards, kept on the disk in their order.

TFDS keeps up to 1 GB of a split in memory. What is more it sorts by way of files that only
TensorFlow opens, and of which one holds everything where the order is to be kept, so that the whole
split is in memory at last. Here records are not sorted, and only the first are kept in memory.
"""

import contextlib
import os
import pathlib
import struct
import uuid
from collections.abc import Iterator, Sequence

from tensorflow_datasets.core import shuffle

HELD = 64 << 20  # bytes that are kept in memory
PIECE = 64 << 20  # bytes of a file; it is removed as soon as it was read


class OrderedRecords:
    """Takes the place of `tensorflow_datasets.core.shuffle.Shuffler`, with its methods.

    Args:
      dirpath: folder for the files.
      **options: of `Shuffler`; they say how it shuffles.
    """

    def __init__(self, dirpath: str | os.PathLike, *_, **options):
        del options
        self._folder, self._start = pathlib.Path(dirpath), f"records_{uuid.uuid4()}"
        self._held: list[bytes] = []
        self._pieces: list[pathlib.Path] = []
        self._file = None
        self._size = self._count = 0

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return self._size

    @property
    def bucket_lengths(self) -> Sequence[int]:
        """Number of records, as of one bucket."""
        return [self._count]

    @property
    def num_examples(self) -> int:
        """Number of records."""
        return self._count

    def add(self, key: int, data: bytes) -> None:
        """Adds the next record; keys count from 0.

        Raises:
          ValueError: another key.
        """
        if key != self._count:
            raise ValueError(f"record {key} where {self._count} is expected; they stay in order")
        # The first records in memory, so that a small split needs no room for them on the disk.
        self._count += 1
        self._size += len(data)
        if self._size <= HELD:
            self._held.append(data)
            return
        if self._file is None or self._file.tell() >= PIECE:
            self.close()
            self._pieces.append(self._folder / f"{self._start}_{len(self._pieces):06d}.tmp")
            self._file = self._pieces[-1].open("wb")
        self._file.write(struct.pack("<Q", len(data)))
        self._file.write(data)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """The keys and records in order; they can be gone through once."""
        self.close()
        yield from enumerate(self._held)
        number, self._held = len(self._held), []
        for path in self._pieces:
            with path.open("rb") as file:
                while head := file.read(8):
                    yield number, file.read(struct.unpack("<Q", head)[0])
                    number += 1
            path.unlink()

    def close(self) -> None:
        """Closes the file that is written to."""
        if self._file is not None:
            self._file.close()
            self._file = None


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """In the block TFDS writes records in the order in which they are given, without a shuffle."""
    shuffler, made = shuffle.Shuffler, []

    def make(*arguments, **options) -> OrderedRecords:
        made.append(OrderedRecords(*arguments, **options))
        return made[-1]

    shuffle.Shuffler = make
    try:
        yield
    finally:
        shuffle.Shuffler = shuffler
        for records in made:  # an error in the block may have left a file open
            records.close()
