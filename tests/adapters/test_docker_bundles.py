"""Archives that come from an engine: half of one is no reason to end anything but the try."""

import gzip
import io
import tarfile

import pytest

from adapters.docker.bundles import Stream, pack, unpack
from domain.errors import Unavailable

FILES = {"data/trades.csv": b"1,2\n" * 5000, "logs/bot.log": b"flat\n" * 5000}


def test_what_is_packed_comes_out_again(tmp_path):
    unpack(Stream([pack(FILES)]), tmp_path, "r|gz")
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9], ids=["nothing", "the-beginning", "most"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zipped", "plain"])
def test_half_an_archive_is_unavailable(tmp_path, part, zipped):
    whole = pack(FILES) if zipped else gzip.decompress(pack(FILES))
    with pytest.raises(Unavailable, match="has not arrived whole"):
        unpack(Stream([whole[: int(len(whole) * part)]]), tmp_path, "r|gz" if zipped else "r|")


def test_what_is_no_archive_is_unavailable(tmp_path):
    with pytest.raises(Unavailable, match="has not arrived whole"):
        unpack(Stream([b"tar: data: Cannot open\n" * 100]), tmp_path, "r|gz")


def test_what_leads_out_is_left_out(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("../outside")
        tar.addfile(entry, io.BytesIO())
    unpack(Stream([packed.getvalue()]), tmp_path / "inside")
    assert not (tmp_path / "outside").exists()
