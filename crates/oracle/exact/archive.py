"""Packs a folder of vectors into one .tar.gz whose bytes depend on nothing but what is in it.

    python3 crates/oracle/exact/archive.py FOLDER NAME-VERSION.tar.gz     # all files, under NAME-VERSION/
    python3 crates/oracle/exact/archive.py --digests FOLDER               # FOLDER/SHA256SUMS for `sha256sum -c`

The files are sorted by name; times, owners and rights are left out. Other versions of zlib may compress otherwise: the
digest of the .tar inside, which is printed, is the same with all of them.
"""

import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

SUFFIX = ".tar.gz"


def tar_of(folder, top):
    """The bytes of the .tar."""
    stream = io.BytesIO()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in files:
            entry = tarfile.TarInfo(f"{top}/{path.relative_to(folder).as_posix()}")
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return stream.getvalue()


def pack(folder, path):
    """Writes the archive; returns the digest of the .tar in it."""
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"{path}: the name of the archive must end in {SUFFIX}")
    tar = tar_of(folder, path.name.removesuffix(SUFFIX))
    path.write_bytes(gzip.compress(tar, compresslevel=9, mtime=0))
    return hashlib.sha256(tar).hexdigest()


def digests(folder):
    """Writes SHA256SUMS for every other file of the folder; returns its text."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    text = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (folder / "SHA256SUMS").write_text(text)
    return text


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--digests", folder]:
            print(digests(Path(folder)), end="")
        case [folder, path]:
            print(f"{pack(Path(folder), Path(path))}  {Path(path).name.removesuffix('.gz')}")
        case _:
            sys.exit(__doc__)
