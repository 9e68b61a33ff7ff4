"""Zip archives of strangers, whose directory is checked before anything is unpacked."""

import io
import zipfile

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
MOST_RATIO = 1032  # times that deflate can compress at most; a claim of more is false
USUAL_RATIO = 200  # times that arrays may be compressed, if they are more than `LITTLE`
LITTLE = 1 << 26  # bytes, unpacked, that may be compressed by any ratio
ENCRYPTED = 1  # bit in the flags of a member


def check_zip(archive: zipfile.ZipFile, max_bytes: int, most: int) -> list[zipfile.ZipInfo]:
    """Returns the members of an archive, if it can be unpacked without harm.

    Args:
      archive: archive, open for reading.
      max_bytes: most bytes of all members together, unpacked.
      most: most members.

    Raises:
      ValueError: there are more members or bytes, a member is encrypted or of unknown compression,
        a name is there twice, or the bytes of the file cannot hold the sizes that are claimed.
    """
    members = archive.infolist()
    if len(members) > most:
        raise ValueError(f"{len(members):,} members; expected {most:,} at most")
    # Members: each once, and of a kind that can be unpacked.
    names = [member.filename for member in members]
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:80]!r} is there twice")
    for member in members:
        if member.flag_bits & ENCRYPTED:
            raise ValueError(f"{member.filename[:80]!r} is encrypted")
        if member.compress_type not in (STORED, DEFLATED):
            raise ValueError(f"{member.filename[:80]!r} is not stored or compressed by deflate")
    # Sizes: together, in the file, and of each member.
    total, packed = (sum(m.file_size for m in members), sum(m.compress_size for m in members))
    if total > max_bytes:
        raise ValueError(f"arrays of {total:,} bytes; expected {max_bytes:,} at most")
    size = archive.fp.seek(0, io.SEEK_END)
    if packed > size:  # several members share the same bytes
        raise ValueError(f"members of {packed:,} bytes in a file of {size:,}")
    _check_ratio(members, total, packed)
    return members


def _check_ratio(members: list[zipfile.ZipInfo], total: int, packed: int) -> None:
    """Raises ValueError if members claim more bytes than their compressed bytes can hold."""
    # No member may claim more than deflate can make of its bytes, or than it has if stored.
    for member in members:
        most = member.compress_size * (MOST_RATIO if member.compress_type == DEFLATED else 1)
        if member.file_size > most + 64:
            raise ValueError(
                f"{member.filename[:80]!r} claims {member.file_size:,} bytes from "
                f"{member.compress_size:,}, which cannot be"
            )
    # Large archives should be compressed no more than arrays usually are.
    if total > LITTLE and total > USUAL_RATIO * packed:
        raise ValueError(
            f"{total:,} bytes unpacked from {packed:,}; expected {USUAL_RATIO} times as many at "
            "most. If it is what you mean to read, save it without compression (np.savez)"
        )
