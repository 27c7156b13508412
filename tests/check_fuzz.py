"""Feed damaged and hostile files to every reader; each must succeed or raise one of the library's errors.

Run: ``python tests/check_fuzz.py --count 100000``, with core and plugins installed. No input may take more than
:data:`MOST_SECONDS`, nor make the process grow by more than :data:`MOST_BYTES`. The first input of each kind of fault
is kept.
"""

import argparse
import io
import json
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import edfio
import nibabel
import numpy as np
import pydicom
import scipy.io
import torch
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.data.manifest import read_manifest
from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.files import read_json, read_tensors, write_tensors
from multimodal_vae.loggers.jsonl import JSONLines
from multimodal_vae.report.pictures import read_log
from multimodal_vae.report.records import read_metrics, read_privacy
from multimodal_vae.run import open_run, train_run
from multimodal_vae.toml import TOMLError, parse_toml
from multimodal_vae.training.refining import train_refiner

Reader = Callable[[Path], object]

MOST_SECONDS = 2.0
"""Time of the processor for one input."""

MOST_BYTES = 256 * 2**20
"""Memory beyond what libraries and valid files take, which differs between machines."""

HANGING = 60
"""Seconds after which an input waits for something."""

MANIFEST = b"sample_id,patient_id,label,split,blood,site\n" + b"".join(
    b"s%d,p%d,%s,train,%d 2.5 -1e3,here\n" % (n, n // 2, b"ab"[n % 2 : n % 2 + 1], n) for n in range(8)
)
RECIPE = b"""[data]
manifest = "manifest.csv"
split = [0.5, 0.25, 0.25]
cache = false
[modalities.blood]
name = "vector"
size = 3
[modalities.scan]
name = "signal"
length = 3
width = 4
[model]
latent_dim = 4
fusion = { name = "concat", dropout = 0.2 }
[model.objective]
weights = { blood = 2.0 }
[training]
epochs = 1
per_class = 2
device = "cpu"
loggers = ["jsonl"]
early_stopping = { metric = "training.loss", patience = 2 }
[density]
sampler = { name = "gmm", components = 2 }
[refinement.refiners.scan]
name = "rectified_flow"
width = 8
[refinement.training]
epochs = 1
per_class = 2
device = "cpu"
loggers = ["jsonl"]
early_stopping = false
checkpoint_seconds = 0
"""
WORDS = [*rb"""nan inf -1 1e999 \0 " , ; [ ] = ../ / {} ' null true : .. NA 1979-05-27 -0 \ud800 """.split()]
WORDS += [
    b"\n",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x1b[31m",
    b"[" * 3000,
    b"{" * 3000,
    b"9" * 5000,
    b"a." * 3000,
]
WORDS += [b'{"a":' * 3000, b"," * 5000, b"-9223372036854775809", b"18446744073709551616", "\u202e".encode()]
EXTREMES = [0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]


@dataclass
class Target:
    """A file that is damaged, and what reads it.

    Attributes:
        path: where the file lies.
        read: called with ``path``, or with ``opened`` in its place.
        share: how many of the inputs are its own, relative to other targets.
        opened: what is read, if it is not the file itself, such as its folder.
        whole: whether the file can be read before it is damaged.
        seconds: time of all inputs.
        longest: time of the slowest.
        ends: how many inputs were read and refused.
    """

    path: Path
    read: Reader
    share: float = 10
    opened: Path | None = None
    whole: bool = True
    seconds: float = 0
    longest: float = 0
    ends: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Keep the valid file."""
        self.content = self.path.read_bytes()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return a copy with bytes flipped, overwritten, deleted, repeated, inserted or truncated."""
    altered = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        place = rng.randrange(len(altered) + 1)
        match rng.randrange(6):
            case 0 if altered:
                altered[min(place, len(altered) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                altered[place:place] = rng.choice(WORDS)
            case 2:
                del altered[place : place + rng.randrange(1, 40)]
            case 3:
                times = 2000 if rng.random() < 0.01 else 1
                altered[place:place] = altered[place : place + rng.randrange(1, 200)] * times
            case 4:  # a claimed size, as most formats write one
                size = rng.choice([1, 2, 4, 8])
                number = rng.choice(EXTREMES) % 2 ** (8 * size)
                altered[place : place + size] = number.to_bytes(size, rng.choice(["little", "big"]))
            case _:
                altered = altered[: rng.randrange(len(altered) + 1)] if rng.random() < 0.2 else altered
    return bytes(altered)


def replace(target: Target, rng: random.Random) -> None:
    """Put something that is not the file in its place."""
    path, other = target.path, target.path.with_name("other")
    kind = rng.choice(
        ["link", "dangling", "loop", "folder", "folder link", "pipe", "socket", "device", "empty", "huge"]
    )
    if kind == "link":
        other.write_bytes(damaged(target.content, rng))
        path.symlink_to(other)
    elif kind in ("dangling", "loop", "folder link", "device"):
        path.symlink_to({"dangling": "nowhere", "loop": path.name, "folder link": "..", "device": "/dev/zero"}[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with chdir(path.parent), socket.socket(socket.AF_UNIX) as opened:  # the path of a socket is short
            opened.bind(path.name)
    else:
        path.write_bytes(target.content if kind == "huge" else b"")
        os.truncate(path, 2**40 if kind == "huge" else 0)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def packed(arrays: Mapping[str, Any]) -> bytes:
    """Return the content of a compressed archive."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def targets(place: Path) -> dict[str, Target]:
    """Write valid files, and return them by name with their readers."""
    found = {
        **sample_targets(make(place / "samples")),
        **table_targets(make(place / "tables")),
        **run_targets(make(place / "run")),
        **cache_targets(make(place / "cached")),
    }
    for name, target in found.items():
        try:
            if target.whole:
                target.read(target.opened or target.path)
        except mv.MultimodalVAEError as error:
            sys.exit(f"does not hold: the valid {name} is read\n{error}")
    return found


def make(folder: Path) -> Path:
    """Create a folder and return it."""
    folder.mkdir()
    return folder


def sample_targets(place: Path) -> dict[str, Target]:
    """Return files of samples of all modalities."""
    pressure, frequency = np.linspace(200, -300, 12), np.geomspace(200, 5000, 9)
    grid = np.random.default_rng(0).uniform(0, 1, (12, 9))
    sweep = {"Pressure": pressure[:, None], "Frequency": frequency[None], "Absorbance": grid}
    scipy.io.savemat(place / "wbt.mat", {"WBT": sweep})
    scipy.io.savemat(place / "packed.mat", {"WBT": sweep}, do_compression=True)
    scipy.io.savemat(place / "old.mat", sweep, format="4")
    np.savez(place / "wbt.npz", pressure=pressure, frequency=frequency, absorbance=grid)
    rows = ["," + ",".join(map(str, frequency))]
    rows += [",".join(map(str, row)) for row in np.column_stack([pressure, grid])]
    (place / "wbt.csv").write_text("\n".join(rows))
    beats = np.sin(np.arange(400.0) / 9)
    np.savez(place / "ecg.npz", ecg=beats[None], rate=100.0)
    (place / "ecg.csv").write_text("time_s,II (uV)\n" + "".join(f"{n / 100},{n % 7}\n" for n in range(120)))
    edfio.Edf([edfio.EdfSignal(beats, 100, label="II", physical_dimension="mV")]).write(place / "ecg.edf")
    (place / "record.hea").write_text("record 1 100 400\nrecord.dat 16 200/mV 16 0 0 0 0 II\n")
    (1000 * beats).astype("<i2").tofile(place / "record.dat")
    np.save(place / "vector.npy", np.arange(3.0))
    (place / "packed.npz").write_bytes(packed({"x": np.zeros((1, 64), np.float32)}))
    names = np.array(["a", "b", "a", "b"])
    (place / "data.npz").write_bytes(packed({"x": np.zeros((4, 3)), "label": names, "patient_id": names}))
    with zipfile.ZipFile(place / "foreign.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", (place / "vector.npy").read_bytes())
    (place / "signal.csv").write_text("a;b\n" + "1,5;2,5\n" * 64)
    picture = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    pictures = [f"image.{ending}" for ending in ("png", "jpg", "tif", "gif", "bmp", "ppm", "webp")]
    for name in pictures:
        picture.save(place / name)
    wbt = mv.Modality.of({"name": "wbt", "size": [8, 8], "width": 4})
    ecg = mv.Modality.of({"name": "ecg", "seconds": 1.0, "width": 4})
    image, vector = mv.Image(size=(8, 8)), mv.Vector(size=3, cell="path")
    vectors = {"x": mv.Vector(size=3)}
    readers: dict[str, tuple[Reader, float]] = {
        **dict.fromkeys(("wbt.mat", "packed.mat", "old.mat", "wbt.npz", "wbt.csv"), (wbt.read, 15)),
        **dict.fromkeys(("ecg.npz", "ecg.csv", "ecg.edf"), (ecg.read, 15)),
        "vector.npy": (vector.read, 30),
        "packed.npz": (mv.Signal(length=64).read, 40),
        "data.npz": (lambda path: mv.MultimodalDataset.from_npz(path, vectors), 20),
        "signal.csv": (mv.Signal(length=64, channels=2).read, 15),
        **dict.fromkeys(pictures, (image.read, 12)),
    }
    found = {name: Target(place / name, read, share) for name, (read, share) in readers.items()}
    found["foreign.npz"] = Target(place / "foreign.npz", vector.read, 5, whole=False)
    header = place / "record.hea"
    for name in ("record.hea", "record.dat"):
        found[name] = Target(place / name, ecg.read, 3, header)
    scan = nibabel.Nifti1Image(np.arange(210, dtype=np.int16).reshape(5, 6, 7), np.diag([2.0, 2.0, 2.0, 1.0]))
    for name in ("scan.nii", "scan.nii.gz"):
        nibabel.save(scan, place / name)
        found[name] = Target(place / name, mv.Modality.of({"name": "nifti", "size": [4, 4, 4], "width": 4}).read, 10)
    eeg = mv.Modality.of({"name": "eeg", "channels": ["C3"], "reference": "file", "seconds": 1.0, "width": 4})
    edfio.Bdf([edfio.BdfSignal(beats, 100, label="C3", physical_dimension="uV")]).write(place / "eeg.bdf")
    found["eeg.bdf"] = Target(place / "eeg.bdf", eeg.read, 10)
    dicom = mv.Modality.of({"name": "dicom", "size": [8, 8], "width": 4})
    for name in ("CT_small", "MR_small_RLE", "MR_small_jp2klossless", "JPEG2000"):
        shutil.copy(Path(pydicom.__file__).parent / "data" / "test_files" / f"{name}.dcm", place)
        found[f"{name}.dcm"] = Target(place / f"{name}.dcm", dicom.read, 5)
    otoscopy = mv.Modality.of({"name": "otoscopy", "size": 32})
    found["otoscopy.png"] = Target(place / "image.png", otoscopy.read, 2, whole=False)
    return found


def table_targets(place: Path) -> dict[str, Target]:
    """Return manifests and TOML."""
    (place / "manifest.csv").write_bytes(MANIFEST)
    (place / "recipe.toml").write_bytes(RECIPE)
    blood = {"blood": mv.Vector(size=3)}

    def parse(path: Path) -> None:
        try:
            parse_toml(path.read_text("utf-8", "replace") if path.is_file() and path.stat().st_size < 2**20 else "")
        except TOMLError as error:
            raise mv.ConfigurationError(f"{error}") from error

    manifest, recipe = place / "manifest.csv", place / "recipe.toml"
    return {
        "manifest": Target(manifest, lambda path: read_manifest(path, ["blood"]).rows({"blood": ()}), 60),
        "data set": Target(manifest, lambda path: mv.MultimodalDataset.from_manifest(path, blood, progress=False), 2),
        "TOML": Target(recipe, parse, 60),
        "recipe": Target(recipe, mv.Configuration.read, 40),
    }


def write_scans(place: Path) -> Path:
    """Write a manifest with files of three numbers, and return it."""
    for number in range(8):
        np.save(place / f"{number}.npy", np.full(3, float(number)))
    header, *rows = MANIFEST.decode().splitlines()
    rows = [f"{row},{number}.npy" for number, row in enumerate(rows)]
    (place / "manifest.csv").write_text("\n".join([f"{header},scan", *rows, ""]))
    return place / "manifest.csv"


def run_targets(place: Path) -> dict[str, Target]:
    """Return the files of a trained run."""
    write_scans(place)
    (place / "recipe.toml").write_bytes(RECIPE)
    run, configuration = place / "run", mv.Configuration.read(place / "recipe.toml")
    trained = train_run(configuration, run, show=False)
    data, refiner = trained.data, run / "refiners" / "scan" / "refiner.safetensors"
    checkpoint = place / "checkpoint.safetensors"

    def refined(path: Path) -> None:
        """Train the refiner, from the checkpoint if there is one."""
        section = trained.configuration.refinement
        assert section is not None
        part, training = section.refiners["scan"], section.training
        train_refiner(trained.model, trained.splits["train"], None, "scan", part, training, show=False, checkpoint=path)

    refined(checkpoint)
    (run / "metrics.json").write_text(json.dumps({"version": 2, "results": [], "run": {}}))
    (run / "privacy.json").write_text(json.dumps({"version": 2, "results": [], "settings": {}}))
    (run / "judges").mkdir()
    judge = run / "judges" / "blood.safetensors"
    Judge({"blood": [3]}, ["a", "b"]).save(judge)
    write_tensors(place / "x.safetensors", {"x": torch.arange(9.0)}, {"fact": "1"})
    model = place / "model.safetensors"
    trained.model.save(model)

    def rewound(folder: Path) -> None:
        logger = JSONLines()
        logger.open(folder, {})
        logger.rewind(1)

    opened = {name: run / name for name in ("config.toml", "environment.json", "status.json", "split.json")}
    found = {name: Target(path, lambda folder: open_run(folder, data).splits, 3, run) for name, path in opened.items()}
    return found | {
        "status": Target(run / "status.json", lambda path: read_json(path, dict[str, int | str]), 60),
        "tensors": Target(place / "x.safetensors", read_tensors, 100),
        "model.safetensors": Target(run / "model.safetensors", lambda folder: open_run(folder, data).model, 2, run),
        "model file": Target(model, mv.MultimodalVAE.load, 2),
        "gmm.safetensors": Target(
            run / "samplers" / "gmm.safetensors", lambda folder: open_run(folder, data).synthesizer(), 1, run
        ),
        "refiner.safetensors": Target(refiner, lambda folder: open_run(folder, data).refiners, 2, run),
        "checkpoint of refiner": Target(checkpoint, refined, 2),
        "judge": Target(judge, Judge.load, 10),
        "judge.json": Target(judge.with_suffix(".json"), Judge.load, 10, judge),
        "log.jsonl": Target(run / "log.jsonl", read_log, 30),
        "log at resume": Target(run / "log.jsonl", rewound, 30, run),
        "metrics.json": Target(run / "metrics.json", read_metrics, 30, run, whole=False),
        "privacy.json": Target(run / "privacy.json", read_privacy, 30, run, whole=False),
    }


def cache_targets(place: Path) -> dict[str, Target]:
    """Return the files of a cache; whatever is in them, the samples must be those of the data."""
    manifest = write_scans(place)
    parts = {"scan": mv.Vector(size=3, cell="path")}
    past = time.time() - 100  # a file that has just changed is not cached
    for path in place.glob("*.npy"):
        os.utime(path, (past, past))

    def read(path: Path) -> None:
        data = mv.MultimodalDataset.from_manifest(path, parts, progress=False, workers=0)
        if data.samples["scan"].tolist() != [[float(number)] * 3 for number in range(8)]:
            raise AssertionError("a sample of the cache is not that of the data")

    read(manifest)
    files = sorted(path for path in (place / ".mmvae_cache").rglob("*") if path.is_file())
    return {f"cache{path.suffix}": Target(path, read, 0.5, manifest) for path in files}


class Check:
    """Checks inputs, and keeps the first of each kind that ends in another way than it may.

    Attributes:
        faults: by target and kind, what was wrong.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.faults: dict[tuple[str, str], str] = {}
        self._memory = memory() + MOST_BYTES

    def input(self, name: str, target: Target) -> None:
        """Check one input."""
        if self.rng.random() < 0.02:
            remove(target.path)
            replace(target, self.rng)
        else:
            target.path.write_bytes(damaged(target.content, self.rng))
        before = time.process_time()
        signal.alarm(HANGING)
        try:
            target.read(target.opened or target.path)
            target.ends["read"] += 1
        except mv.MultimodalVAEError as error:
            target.ends["refused"] += 1
            if "\n" in str(error) or len(str(error)) > 10_000:
                self._keep(name, target, "not one line", f"{error}")
        except FileNotFoundError:  # readers of samples leave it to the data set
            target.ends["refused"] += 1
        except Exception as error:  # noqa: BLE001  (any other error is a failure)
            place = traceback.extract_tb(error.__traceback__)[-1]
            self._keep(name, target, f"{type(error).__name__} in {place.name}", f"{error}")
        signal.alarm(0)
        seconds = time.process_time() - before
        target.seconds += seconds
        target.longest = max(target.longest, seconds)
        if seconds > MOST_SECONDS:
            self._keep(name, target, "slow", f"{seconds:.1f} s")
        if memory() > self._memory:
            self._memory = memory() + MOST_BYTES
            self._keep(name, target, "large", f"{memory() >> 20} MiB")
        remove(target.path)
        target.path.write_bytes(target.content)

    def _keep(self, name: str, target: Target, kind: str, fault: str) -> None:
        if (name, kind) in self.faults:
            return
        kept = Path(tempfile.gettempdir()) / f"fuzz-{name}-{kind}".replace(" ", "-").replace("/", "-")
        if target.path.is_file() and target.path.stat().st_size < 2**30:
            shutil.copyfile(target.path, kept)
        self.faults[name, kind] = f"{fault[:300]}; kept as {kept}, if it is a file"
        print(f"does not hold: {name}: {kind}: {self.faults[name, kind]}", flush=True)


def memory() -> int:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def hanging(*_: object) -> None:
    """Raise the error of an input that waits."""
    raise TimeoutError(f"nothing after {HANGING} s")


def main() -> None:
    """Check all inputs, and print a summary by target."""
    parser = argparse.ArgumentParser(description="Feed damaged and hostile files to every reader.")
    parser.add_argument("--count", type=int, default=100_000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="name of one target")
    arguments = parser.parse_args()
    rng, started = random.Random(arguments.seed), time.monotonic()
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, hanging)
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", mv.MultimodalVAEWarning)
    with tempfile.TemporaryDirectory() as scratch:
        found = targets(Path(scratch))
        found = {name: target for name, target in found.items() if arguments.only in (None, name)}
        check = Check(rng)
        names, shares = list(found), [target.share for target in found.values()]
        for number, name in enumerate(rng.choices(names, shares, k=arguments.count)):
            check.input(name, found[name])
            if (number + 1) % 50_000 == 0:
                print(f"{number + 1} inputs in {time.monotonic() - started:.0f} s", flush=True)
    print(f"{'target':20}{'read':>9}{'refused':>9}{'mean ms':>9}{'most ms':>9}")
    for name, target in found.items():
        mean = 1000 * target.seconds / max(1, target.ends.total())
        print(f"{name:20}{target.ends['read']:9}{target.ends['refused']:9}{mean:9.2f}{1000 * target.longest:9.0f}")
    print(
        f"seed {arguments.seed}: {arguments.count} inputs in {time.monotonic() - started:.0f} s, {memory() >> 20} MiB"
    )
    print(f"{len(check.faults)} kinds of faults")
    sys.exit(1 if check.faults else 0)


if __name__ == "__main__":
    main()
