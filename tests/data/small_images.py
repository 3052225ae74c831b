"""Small image data sets in the formats that are read from disk."""

import gzip
import io
import json

import torch
from PIL import Image


def png(pixels, format="PNG"):
    """Encodes a tensor of bytes, (height, width) or (height, width, 3)."""
    stream = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(stream, format)
    return stream.getvalue()


def random_pixels(count, size=(6, 5), colour=False, seed=0):
    shape = (count, *size, 3) if colour else (count, *size)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


def expected(pixels):
    """What the data sets are to hold of these pixels."""
    images = pixels.permute(0, 3, 1, 2) if pixels.ndim == 4 else pixels.unsqueeze(1)
    return images.float() / 255


def write_parquet(path, pixels, labels, image="image", label="label", classes=None):
    """Writes a file as the hub keeps it: encoded images, labels, and the names of the classes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = [{"bytes": png(one), "path": f"{row}.png"} for row, one in enumerate(pixels)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({image: pa.array(cells, kind), label: pa.array(labels)})
    if classes:
        features = {
            image: {"_type": "Image"},
            label: {"names": [f"class {index}" for index in range(classes)], "_type": "ClassLabel"},
        }
        noted = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": noted})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def idx(array, kind=8, lengths=None):
    """Encodes an array of bytes in the IDX format; other lengths than its own make it damaged."""
    lengths = array.shape if lengths is None else lengths
    header = bytes([0, 0, kind, len(lengths)]) + b"".join(n.to_bytes(4, "big") for n in lengths)
    return header + array.to(torch.uint8).numpy().tobytes()


def write_idx(folder, train, test, prefix="", pack=gzip.compress, second="t10k", dot="-"):
    """Writes the four files of a set: pairs of pixels and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    end = ".gz" if pack is gzip.compress else ""
    for part, (pixels, labels) in (("train", train), (second, test)):
        for what, array in (("images", pixels), ("labels", torch.as_tensor(labels))):
            name = f"{prefix}{part}-{what}{dot}idx{array.ndim}-ubyte{end}"
            (folder / name).write_bytes(pack(idx(array)))
