"""Packed bodies, however they are cut.

The same bytes come in pieces of a bounded size, and an end only where one is.
"""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import errors
from freeproviders.wire.packing import PIECE_BYTES, acceptable, unpacker


def deflated(data, window):
    packer = zlib.compressobj(wbits=window)
    return packer.compress(data) + packer.flush()


def members(data):
    return gzip.compress(data[:7]) + gzip.compress(data[7:]) + bytes(9)


def package(name, pack):
    def packed(data):
        return pack(pytest.importorskip(name), data)

    return packed


PACKINGS = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": (" X-GZIP ", gzip.compress),
    "members": ("gzip", members),
    "deflate": ("deflate", lambda data: deflated(data, 15)),
    "bare deflate": ("deflate", lambda data: deflated(data, -15)),
    "br": ("br", package("brotli", lambda brotli, data: brotli.compress(data, quality=4))),
    "zstd": ("zstd", package("backports.zstd", lambda zstd, data: zstd.compress(data))),
}


def unpacked(encoding, packed, sizes):
    """Unpack a body that comes in reads of these sizes.

    Returns its bytes, its longest piece, and the unpacker.
    """
    unpack = unpacker(encoding)
    out, longest, at, turn = bytearray(), 0, 0, 0
    while at < len(packed):
        size = sizes[turn % len(sizes)]
        piece = unpack.unpack(packed[at : at + size])
        at, turn = at + size, turn + 1
        while True:
            out += piece
            longest = max(longest, len(piece))
            if not unpack.more:
                break
            piece = unpack.unpack(b"")
    return bytes(out), longest, unpack


@pytest.mark.parametrize(("encoding", "pack"), PACKINGS.values(), ids=PACKINGS)
@given(
    data=st.binary(max_size=300) | st.integers(1, 3000).map(lambda times: b"a piece of text, " * times),
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=5),
    cut=st.floats(0, 1, exclude_max=True),
)
def test_any_cut(encoding, pack, data, sizes, cut):
    """The bytes are the same, and a stream without its last bytes has not ended."""
    packed = pack(data)
    out, _, unpack = unpacked(encoding, packed, sizes)
    assert (out, unpack.whole, unpack.begun) == (data, True, True)
    short = packed[: int(cut * len(packed.rstrip(b"\0") if pack is members else packed))]
    out, _, unpack = unpacked(encoding, short, sizes)
    assert data.startswith(out)
    if pack is not members:  # the end of the first is an end
        assert not unpack.whole
    assert unpack.begun is bool(short)


@pytest.mark.parametrize(("encoding", "pack"), PACKINGS.values(), ids=PACKINGS)
def test_no_piece_is_large(encoding, pack):
    """A body that unpacks to thousands of times its size comes in pieces that keep nobody waiting."""
    out, longest, _ = unpacked(encoding, pack(bytes(5_000_000)), [10**6])
    assert len(out) == 5_000_000
    assert longest <= 8 * PIECE_BYTES  # brotli gives somewhat more than it is asked for


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_what_is_not_packed(encoding):
    """Data that is not what the header says is a typed error, whichever package reads it."""
    if encoding not in acceptable():
        pytest.skip("no package for it here")
    unpack = unpacker(encoding)
    with pytest.raises(errors.MalformedResponseError, match="unpacked"):
        for _ in range(100):
            unpack.unpack(b"\xff{'error': 'plain text'}" * 100)


@pytest.mark.parametrize("encoding", ["identity", "utf-8", "none", "gzip, br"])
def test_no_packing_of_ours(encoding):
    """What nobody asked for is handed on as it is: some servers write nonsense into this header."""
    assert unpacker(encoding) is None


def test_what_is_asked_for():
    """gzip and deflate are always there."""
    assert acceptable().startswith("gzip, deflate")
