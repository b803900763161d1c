#!/usr/bin/env python3
"""Brings models that people really ship into `.models/`, with golden cases by Python's ONNX Runtime.

    pip install -r scripts/proofs.txt
    python scripts/real-models.py            # then: cargo test --test it real_models

Each model lies in a Python package of a pinned version and is taken out of it if it has the pinned SHA-256.
Nothing of it is ever committed. Beside each `model.onnx` are written
  golden.json   a few cases and what onnxruntime answers to them
  rows.npz      rows for the checks that need more of them
What goes wrong ends this program with a message: a proof that silently proves nothing is worth nothing.
"""
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".models"
SEED = 20240607


# ----------------------------------------------------------------- what the models are fed
def file_bytes(rng, count):
    """The first and the last 1,024 bytes of files of this repository, as Magika reads a file; 256 fills up."""
    files = sorted(path for pattern in ("*.md", "*.toml", "src/**/*.rs", "scripts/*", "schemas/*.json")
                   for path in ROOT.glob(pattern) if path.is_file())
    rows = np.full((count, 2048), 256, dtype=np.int32)
    for row, path in zip(rows, rng.choice(files, count, replace=False)):
        content = np.frombuffer(path.read_bytes().strip(), dtype=np.uint8)
        head, tail = content[:1024], content[-1024:]
        row[:len(head)] = head
        row[len(row) - len(tail):] = tail
    return {"bytes": rows}


def sounds(rng, count):
    """36 ms of a voice-like tone with noise at 16 kHz, and the state that an earlier piece may have left."""
    time = np.arange(576) / 16_000
    tone = sum(np.sin(2 * np.pi * part * rng.uniform(90, 250, (count, 1)) * time) / part for part in range(1, 6))
    noise = rng.normal(0, 0.05, (count, 576))
    return {"input": (0.3 * tone * rng.uniform(0, 1, (count, 1)) + noise).astype(np.float32),
            "state": rng.normal(0, 0.3, (2, count, 128)).astype(np.float32), "sr": np.array(16_000, dtype=np.int64)}


def pictures(height, width):
    """Bars of ink on paper, from -1 to 1."""
    def drawn(rng, count):
        rows = rng.normal(0.8, 0.05, (count, 3, height, width))
        for picture in rows:
            for left in range(4, width - 12, 12):
                top, ink = rng.integers(2, height // 2), rng.integers(4, height // 2)
                picture[:, top:top + ink, left:left + int(rng.integers(2, 9))] = rng.uniform(-1, 0)
        return {"x": np.clip(rows, -1, 1).astype(np.float32)}
    return drawn


# ----------------------------------------------------------------- the models
@dataclass(frozen=True)
class Shipped:
    """A model in a package."""
    name: str
    package: str
    member: str
    sha256: str
    licence: str
    feed: Callable
    rows: int


SHIPPED = (
    Shipped("magika", "magika==1.0.3", "magika/models/standard_v3_3/model.onnx",
            "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c", "Apache-2.0", file_bytes, 8),
    Shipped("silero-vad", "silero-vad==6.2.3", "silero_vad/data/silero_vad.onnx",
            "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3", "MIT", sounds, 8),
    Shipped("rapidocr-direction", "rapidocr-onnxruntime==1.4.4",
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c", "Apache-2.0", pictures(48, 192), 8),
    Shipped("rapidocr-detection", "rapidocr-onnxruntime==1.4.4",
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9", "Apache-2.0", pictures(96, 96), 4),
    Shipped("rapidocr-text", "rapidocr-onnxruntime==1.4.4",
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
            "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b", "Apache-2.0", pictures(48, 96), 4),
)


def fetched(package, work):
    """The wheel of a package."""
    folder = work / package.replace("=", "-")
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--only-binary=:all:", "--dest", str(folder), package]
        if subprocess.run(command).returncode != 0:
            sys.exit(f"real-models: pip cannot bring {package}; without it the checks against real models prove nothing")
    return next(folder.glob("*.whl"))


def taken_out(shipped, work):
    with zipfile.ZipFile(fetched(shipped.package, work)) as wheel:
        content = wheel.read(shipped.member)
    found = hashlib.sha256(content).hexdigest()
    if found != shipped.sha256:
        sys.exit(f"real-models: {shipped.member} of {shipped.package} has the SHA-256 {found}, not {shipped.sha256}")
    return content


# ----------------------------------------------------------------- golden cases
def values(array):
    return {"shape": list(array.shape), "data": array.ravel().tolist()}


def first(inputs, count):
    """The first rows; of a state with the rows in its second dimension, and of a setting, what belongs to them."""
    taken = {"state": lambda array: array[:, :count], "sr": lambda array: array}
    return {name: taken.get(name, lambda array: array[:count])(array) for name, array in inputs.items()}


def golden(shipped, session, inputs):
    names = [output.name for output in session.get_outputs()]

    def case(name, count):
        part = first(inputs, count)
        answers = dict(zip(names, session.run(names, part)))
        return {"name": name, "inputs": {name: values(array) for name, array in part.items()},
                "outputs": {name: values(array) for name, array in answers.items()}}

    by = f"{shipped.package}, {shipped.member}; answers by Python onnxruntime {onnxruntime.__version__}"
    return {"model": by, "cases": [case("one row", 1), case("a batch", 3)]}


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def bring(shipped, work):
    folder = FOLDER / shipped.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(taken_out(shipped, work))
    (folder / "SHA256SUMS").write_text(f"{shipped.sha256}  model.onnx\n")
    inputs = shipped.feed(np.random.default_rng(SEED), shipped.rows)
    np.savez(folder / "rows.npz", **inputs)
    # Last of all: a test takes the golden cases for the sign that the folder is complete.
    cases = golden(shipped, session_of(folder / "model.onnx"), inputs)
    (folder / "golden.json").write_text(json.dumps(cases))
    size = (folder / "model.onnx").stat().st_size
    print(f"{shipped.name:<20} {size:>10,} bytes  {shipped.package} ({shipped.licence})")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        for shipped in SHIPPED:
            bring(shipped, Path(work))
