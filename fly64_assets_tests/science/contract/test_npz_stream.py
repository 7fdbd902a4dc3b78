import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fly64_assets.science.contract.npz_reading import UnreadableNpzError, load_array, map_array, read_headers
from fly64_assets.science.contract.npz_stream import NpzStream, write_npz


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.text("abcXYZ_0", min_size=1, max_size=9),
        hnp.arrays(
            st.sampled_from(["<f4", "<c8", "<i8", "|b1", "<u2"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_numpy_reads_back_what_was_written(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    write_npz(path, arrays)
    with np.load(path, allow_pickle=False) as file:
        assert file.files == list(arrays)
        for name, array in arrays.items():
            assert file[name].dtype == array.dtype
            assert np.array_equal(file[name], array, equal_nan=array.dtype.kind in "fc")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    for name, header in read_headers(path).items():
        assert np.array_equal(map_array(path, header), arrays[name], equal_nan=arrays[name].dtype.kind in "fc")
        assert header.data_offset % 64 == 0


def test_text_survives(tmp_path):
    write_npz(tmp_path / "a.npz", {"text": np.array('{"ä": 1}')})
    assert str(np.load(tmp_path / "a.npz", allow_pickle=False)["text"]) == '{"ä": 1}'


def test_rows_may_come_in_any_portions_and_interleaved(tmp_path):
    a = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    b = np.arange(10, dtype=np.int64)
    write_npz(tmp_path / "whole.npz", {"a": a, "b": b})
    with NpzStream(tmp_path / "parts.npz", {"a": (a.dtype, a.shape), "b": (b.dtype, b.shape)}) as stream:
        stream.append("b", b[:4])
        stream.append("a", a[:1])
        stream.append("a", a[1:9])
        stream.append("b", b[4:])
        stream.append("a", a[9:])
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "parts.npz").read_bytes()


def test_wrong_rows_are_refused(tmp_path):
    def stream():
        return NpzStream(tmp_path / "a.npz", {"a": (np.dtype("f4"), (2, 3))})

    for rows in (np.zeros((1, 3)), np.zeros((1, 4), "f4"), np.zeros(3, "f4")):
        with pytest.raises(ValueError, match="declared float32"), stream() as file:
            file.append("a", rows)
    with pytest.raises(ValueError, match="more rows"), stream() as file:
        file.append("a", np.zeros((3, 3), "f4"))
    with pytest.raises(ValueError, match="12 bytes short"), stream() as file:
        file.append("a", np.zeros((1, 3), "f4"))


def test_an_abandoned_file_is_no_npz(tmp_path):
    with pytest.raises(KeyboardInterrupt), NpzStream(tmp_path / "a.npz", {"a": (np.dtype("f4"), (2,))}) as stream:
        stream.append("a", np.zeros(2, "f4"))
        raise KeyboardInterrupt
    with pytest.raises(UnreadableNpzError):
        read_headers(tmp_path / "a.npz")


def test_members_beyond_four_gibibytes(tmp_path):
    """Sparse: only the last rows are written, the offsets are those of a 5 GiB file."""
    rows = 5 * 2**20
    row = np.arange(256, dtype=np.float32)[None]
    stream = NpzStream(tmp_path / "big.npz", {"big": (row.dtype, (rows, 256)), "small": (row.dtype, (1, 256))})
    member = stream._members["big"]
    member.position = member.end - row.nbytes
    stream.append("big", row)
    stream.append("small", row)
    stream.close()
    headers = read_headers(tmp_path / "big.npz")
    assert headers["big"].nbytes == 5 * 2**30
    assert np.array_equal(map_array(tmp_path / "big.npz", headers["big"])[-1], row[0])
    with np.load(tmp_path / "big.npz") as file:
        assert np.array_equal(file["small"], row)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_of_numpy_are_read(tmp_path, order, save):
    array = np.asarray(np.random.default_rng(0).random((4, 5, 6)), order=order)
    save(tmp_path / "a.npz", a=array)
    header = read_headers(tmp_path / "a.npz")["a"]
    assert np.array_equal(load_array(tmp_path / "a.npz", header, 10_000), array)
    with pytest.raises(UnreadableNpzError, match="at most 10 bytes"):
        load_array(tmp_path / "a.npz", header, 10)
    if save is np.savez:
        assert np.array_equal(map_array(tmp_path / "a.npz", header), array)
    else:
        with pytest.raises(UnreadableNpzError, match="can be mapped"):
            map_array(tmp_path / "a.npz", header)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_raises_one_kind_of_error(tmp_path_factory, data):
    """Any change of bytes is either harmless to the headers or refused by name; nothing else is ever raised."""
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(6.0), b=np.ones((2, 3), np.complex64))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    path = tmp_path_factory.mktemp("damage") / "a.npz"
    path.write_bytes(content)
    try:
        headers = read_headers(path)
    except UnreadableNpzError:
        return
    assert all(header.nbytes < 10_000 for header in headers.values())
