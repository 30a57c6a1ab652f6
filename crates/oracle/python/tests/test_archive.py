"""The archive of the vectors: its bytes depend on the files alone, and it holds all of them."""

import hashlib
import importlib.util
import os
import tarfile
from pathlib import Path

import pytest

import lowrank_oracle

PROGRAM = Path(__file__).resolve().parents[2] / "exact/archive.py"
SPEC = importlib.util.spec_from_file_location("archive", PROGRAM)
archive = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(archive)


def folder(at, order):
    """The same files, written in another order, with other times and rights."""
    for number, name in enumerate(order):
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
        os.utime(path, (10**9 * number, 10**9 * number))
        path.chmod(0o600 + number)
    return at


def test_the_same_files_give_the_same_bytes(tmp_path):
    names = ["b/two", "a/one", "README.md"]
    made = []
    for number, order in enumerate([names, names[::-1]]):
        place = tmp_path / str(number)
        path = place / "v-1.tar.gz"
        inside = archive.pack(folder(place / "in", order), path)
        made.append((inside, path.read_bytes()))
    assert made[0] == made[1]
    with tarfile.open(tmp_path / "0/v-1.tar.gz") as packed:
        assert packed.getnames() == [f"v-1/{name}" for name in sorted(names)]
        assert {(entry.mtime, entry.uid, entry.mode) for entry in packed} == {(0, 0, 0o644)}
    (tmp_path / "1/in/a/one").write_bytes(b"another")
    assert archive.pack(tmp_path / "1/in", tmp_path / "1/v-1.tar.gz") != made[0][0]


def test_all_vectors_are_in_it(tmp_path):
    path = tmp_path / "lowrank-vectors-0.tar.gz"
    archive.pack(lowrank_oracle.VECTORS.resolve(), path)
    with tarfile.open(path) as packed:
        names = set(packed.getnames())
        readme = packed.extractfile("lowrank-vectors-0/README.md").read()
    assert readme == (lowrank_oracle.VECTORS / "README.md").read_bytes()
    wanted = {f"lowrank-vectors-0/{id}.safetensors" for id in lowrank_oracle.ids(kind=lowrank_oracle.KINDS)}
    assert wanted <= names
    assert {"lowrank-vectors-0/index.json", "lowrank-vectors-0/examples/runner.py"} <= names


def test_digests_are_of_every_file(tmp_path):
    for name in ("b.whl", "a.tar.gz"):
        (tmp_path / name).write_bytes(name.encode())
    expected = "".join(f"{hashlib.sha256(n.encode()).hexdigest()}  {n}\n" for n in ("a.tar.gz", "b.whl"))
    assert archive.digests(tmp_path) == archive.digests(tmp_path) == expected


def test_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.tar\.gz"):
        archive.pack(tmp_path, tmp_path / "v.zip")
