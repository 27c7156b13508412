"""Feed damaged files to every reader; each must return a sample or raise one of the library's errors.

Run: ``python tests/check_fuzz.py --count 100000``, with core and plugins installed.
"""

import argparse
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io

import multimodal_vae as mv
from multimodal_vae.files import read_tensors, write_tensors

Reader = Callable[[Path], object]

MANIFEST = b"sample_id,patient_id,label,split,blood,site\n" + b"".join(
    b"s%d,p%d,%s,train,%d 2.5 -1e3,here\n" % (n, n // 2, b"ab"[n % 2 : n % 2 + 1], n) for n in range(8)
)
RECIPE = b"""[data]
manifest = "manifest.csv"
split = [0.5, 0.25, 0.25]
[modalities.blood]
name = "vector"
size = 3
[model]
latent_dim = 4
fusion = { name = "concat", dropout = 0.2 }
[model.objective]
weights = { blood = 2.0 }
[training]
epochs = 3
early_stopping = { metric = "training.loss", patience = 2 }
[density]
sampler = { name = "gmm", components = 2 }
"""
WORDS = [*rb"""nan inf -1 1e999 \0 " , ; [ ] = ../ / {} '""".split(), b"\n", b"\x00", b"\xff"]


def seeds(place: Path) -> dict[str, tuple[bytes, Reader]]:
    """Return valid files by name, with their readers."""
    pressure, frequency = np.linspace(200, -300, 12), np.geomspace(200, 5000, 9)
    grid = np.random.default_rng(0).uniform(0, 1, (12, 9))
    sweep = {"Pressure": pressure[:, None], "Frequency": frequency[None], "Absorbance": grid}
    scipy.io.savemat(place / "a.mat", {"WBT": sweep})
    np.savez(place / "a.npz", pressure=pressure, frequency=frequency, absorbance=grid)
    rows = ["," + ",".join(map(str, frequency))]
    rows += [",".join(map(str, row)) for row in np.column_stack([pressure, grid])]
    (place / "a.csv").write_text("\n".join(rows))
    np.savez(place / "b.npz", ecg=np.sin(np.arange(400.0) / 9)[None], rate=100.0)
    (place / "b.csv").write_text("time_s,II (uV)\n" + "".join(f"{n / 100},{n % 7}\n" for n in range(120)))
    import torch

    write_tensors(place / "a.safetensors", {"x": torch.arange(9.0)}, {"fact": "1"})
    wbt = mv.Modality.of({"name": "wbt", "size": [8, 8], "width": 4})
    ecg = mv.Modality.of({"name": "ecg", "seconds": 1.0, "width": 4})
    blood = {"blood": mv.Vector(size=3)}
    readers: dict[str, Reader] = {
        "manifest.csv": lambda path: mv.MultimodalDataset.from_manifest(path, blood, progress=False),
        "recipe.toml": mv.Configuration.read,
        **{f"a.{ending}": wbt.read for ending in ("mat", "npz", "csv")},
        **{f"b.{ending}": ecg.read for ending in ("npz", "csv")},
        "a.safetensors": read_tensors,
    }
    whole = {"manifest.csv": MANIFEST, "recipe.toml": RECIPE}
    return {name: (whole.get(name) or (place / name).read_bytes(), reader) for name, reader in readers.items()}


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return a copy with bytes flipped, deleted, repeated, inserted or truncated."""
    altered = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        place = rng.randrange(len(altered) + 1)
        match rng.randrange(5):
            case 0 if altered:
                altered[min(place, len(altered) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                altered[place:place] = rng.choice(WORDS)
            case 2:
                del altered[place : place + rng.randrange(1, 40)]
            case 3:
                altered[place:place] = altered[place : place + rng.randrange(1, 200)]
            case _:
                altered = altered[: rng.randrange(len(altered) + 1)] if rng.random() < 0.2 else altered
    return bytes(altered)


def main() -> None:
    """Check all inputs; stop at the first that raises another error, and keep it."""
    parser = argparse.ArgumentParser(description="Feed damaged files to every reader.")
    parser.add_argument("--count", type=int, default=100_000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, ends, started = random.Random(arguments.seed), Counter[str](), time.monotonic()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        files = seeds(place)
        for number in range(arguments.count):
            name = list(files)[number % len(files)]
            whole, read = files[name]
            content = damaged(whole, rng)
            (place / name).write_bytes(content)
            try:
                read(place / name)
                ends[f"{name}: read"] += 1
            except mv.MultimodalVAEError as error:
                ends[f"{name}: refused"] += 1
                if "\n" in str(error):
                    sys.exit(f"does not hold: one line for {name}\n{error}")
            except Exception as error:  # noqa: BLE001  (any other error is a failure)
                copy = Path(tempfile.gettempdir()) / f"fuzz-{name}"
                copy.write_bytes(content)
                sys.exit(f"does not hold: {name} ended in {type(error).__name__}: {error}; kept as {copy}")
    for end, times in sorted(ends.items()):
        print(f"{end} {times}")
    print(f"{arguments.count} inputs in {time.monotonic() - started:.0f} s")
    print(f"{arguments.count} passed, 0 failed")


if __name__ == "__main__":
    main()
