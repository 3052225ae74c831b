import pytest
import torch

import toroids as td
from toroids.errors import DataError


def test_every_token_is_followed_by_its_target():
    data = td.data.text(length=16, most=2000)
    inputs, targets = data.train
    assert inputs.shape == targets.shape == ((1800 - 1) // 16, 16)
    assert torch.equal(inputs.flatten()[1:], targets.flatten()[:-1])


def test_training_and_test_are_parts_of_the_text_one_after_the_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("abcdefghijklmnopqrst", encoding="utf-8")
    data = td.data.text(path, length=2, share=0.5)
    assert [data.decode(row) for row in data.train[0]] == ["ab", "cd", "ef", "gh"]
    assert [data.decode(row) for row in data.train[1]] == ["bc", "de", "fg", "hi"]
    assert [data.decode(row) for row in data.test[0]] == ["kl", "mn", "op", "qr"]
    assert data.vocabulary == "abcdefghijklmnopqrst" and data.classes == 20


def test_characters_beyond_the_first_plane_and_a_mark_at_the_beginning(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\N{BYTE ORDER MARK}ä😀ä😀ä😀".encode())
    data = td.data.text(path, length=1, share=0.5)
    assert data.vocabulary == "ä😀"
    assert torch.equal(data.encode("😀ä"), torch.tensor([1, 0]))
    with pytest.raises(DataError, match="character 'x' is not among the 2 of the vocabulary"):
        data.encode("x")


def test_bytes_take_what_is_no_text(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)))
    data = td.data.text(path, length=4, unit="bytes")
    assert data.classes == 256 and torch.equal(data.train[0][0], torch.arange(4))
    assert data.decode(data.encode("ä b")) == "ä b"


def test_the_reference_of_python_is_there():
    data = td.data.text()
    assert data.train[0].shape[0] > 5000 and 80 < data.classes < 300
    assert "assignment" in data.decode(data.train[0][:200])


def test_wrong_tokens_are_counted_one_by_one():
    data = td.data.text(length=10, most=1010)
    noisy = data.label_noise(0.25, seed=1)
    total = data.train[1].numel()
    assert (noisy.train[1] != data.train[1]).sum() == round(0.25 * total)
    assert noisy.vocabulary == data.vocabulary
    assert data.subset(5).train[1].shape == (5, 10)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, {}, "there is no text `.*a.txt`; name a file in UTF-8"),
        (b"", {}, "a.txt` is empty; name a file"),
        (b"\xef\xbb\xbf", {}, "a.txt` is empty; name a file"),
        (b"short", {}, "has 5 characters, 4 of them for training; a window of 64 needs 65 in both"),
        (b"a\xff", {}, 'no text in UTF-8 .byte 1 is 0xff.; name another, or take unit="bytes"'),
        (b"ELF\0\1", {}, "holds null characters, as binary files do"),
        (b"a" * 999, {"unit": "words"}, "no unit 'words'; choose from characters, bytes"),
        (b"a" * 999, {"length": 0}, "`length` is 0; pass an integer"),
        (b"a" * 999, {"share": 1.5}, "`share` is 1.5; pass 0 to 1"),
        (b"a" * 999, {"share": 1.0}, "a shorter `length` or another `share`"),
        (b"a" * 999, {"most": 9}, "has 9 characters, 8 of them for training"),
    ],
)
def test_what_is_no_text(tmp_path, content, options, message):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        td.data.text(path, **options)
    with pytest.raises(DataError, match="cannot be read: it is a folder"):
        td.data.text(tmp_path)
