"""Make wheels and source archives of a small package with weights in it."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile

import numpy as np
from safetensors.numpy import save

WEIGHTS = save({"a": np.zeros(500, np.float32)})
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
MEMBER = "sharp/models/net.safetensors"
HERE = "py3-none-any"


def wheel(members=None, tag=HERE):
    """Return a wheel of `sharp` 1.0, which pip accepts."""
    info = {
        "sharp-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: sharp\nVersion: 1.0\n",
        "sharp-1.0.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        "sharp-1.0.dist-info/RECORD": "",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {
            **info,
            **({MEMBER: WEIGHTS} if members is None else members),
        }.items():
            archive.writestr(name, content)
    return out.getvalue()


def source_archive(members=None, setup="raise SystemExit('setup.py was run')"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        stated = {"sharp-1.0/setup.py": setup.encode(), f"sharp-1.0/{MEMBER}": WEIGHTS}
        for name, content in (stated if members is None else members).items():
            entry = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
