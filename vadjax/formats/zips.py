"""Zip archives of strangers: what their directory says is checked before anything is unpacked."""

import io
import zipfile

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
MOST_RATIO = 1032  # times that deflate can compress: what claims more is not true
USUAL_RATIO = 200  # times that arrays compress; more only where it is little
LITTLE = 1 << 26  # bytes that may be of any ratio
ENCRYPTED = 1  # bit of the flags of a member


def check_zip(archive: zipfile.ZipFile, max_bytes: int, most: int) -> list[zipfile.ZipInfo]:
    """The members of an archive, if it can be unpacked without harm.

    Args:
      archive: open for reading.
      max_bytes: of all members, unpacked.
      most: number of members.

    Raises:
      ValueError: more of either, encrypted or of unknown compression, a name twice, or sizes that
        the bytes of the file cannot hold.
    """
    members = archive.infolist()
    if len(members) > most:
        raise ValueError(f"{len(members):,} members; expected {most:,} at most")
    names = [member.filename for member in members]
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:80]!r} is there twice")
    for member in members:
        if member.flag_bits & ENCRYPTED:
            raise ValueError(f"{member.filename[:80]!r} is encrypted")
        if member.compress_type not in (STORED, DEFLATED):
            raise ValueError(f"{member.filename[:80]!r} is not stored or compressed by deflate")
    total, packed = (sum(m.file_size for m in members), sum(m.compress_size for m in members))
    if total > max_bytes:
        raise ValueError(f"arrays of {total:,} bytes; expected {max_bytes:,} at most")
    size = archive.fp.seek(0, io.SEEK_END)
    if packed > size:  # several members would share bytes
        raise ValueError(f"members of {packed:,} bytes in a file of {size:,}")
    _check_ratio(members, total, packed)
    return members


def _check_ratio(members: list[zipfile.ZipInfo], total: int, packed: int) -> None:
    """Raises ValueError where the members claim more bytes than theirs can hold."""
    for member in members:
        most = member.compress_size * (MOST_RATIO if member.compress_type == DEFLATED else 1)
        if member.file_size > most + 64:
            raise ValueError(
                f"{member.filename[:80]!r} claims {member.file_size:,} bytes from "
                f"{member.compress_size:,}, which cannot be"
            )
    if total > LITTLE and total > USUAL_RATIO * packed:
        raise ValueError(
            f"{total:,} bytes unpacked from {packed:,}; expected {USUAL_RATIO} times as many at "
            "most. If it is what you mean to read, save it without compression (np.savez)"
        )
