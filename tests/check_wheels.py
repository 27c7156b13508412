"""Installs the three wheels into an environment of their own and uses them as a stranger would, away from the checkout.

Run: ``python tests/check_wheels.py DIST CONSTRAINTS``; it says what it does, and ends with the count of what held.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECIPE = """
[data]
manifest = "cohort/manifest.csv"
classes = ["NOE", "OME", "AOM"]
split = [0.6, 0.0, 0.4]
[modalities.otoscopy]
name = "otoscopy"
width = 4
[modalities.wbt]
name = "wbt"
width = 4
[model]
latent_dim = 8
[training]
epochs = 2
per_class = 4
"""


def main(dist: Path, constraints: Path) -> None:
    """Check, and fail with the first thing that does not hold."""
    held = 0

    def hold(what: str, truth: bool, output: str = "") -> None:
        nonlocal held
        if not truth:
            sys.exit(f"does not hold: {what}\n{output}")
        held += 1
        print(f"holds: {what}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        venv.create(place / "env", with_pip=True)
        python, mmvae = place / "env/bin/python", place / "env/bin/mmvae"
        plain = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}

        def run(*command: object) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [str(word) for word in command], cwd=place, env=plain, text=True, capture_output=True, check=False
            )

        wheels = sorted(dist.glob("*.whl"))
        hold("three wheels are there", len(wheels) == 3, str(wheels))
        installed = run(python, "-m", "pip", "install", "-q", "-c", constraints, *wheels)
        hold("they install into a new environment", installed.returncode == 0, installed.stderr)
        checked = run(python, "-m", "pip", "check")
        hold("pip check finds no fault", checked.returncode == 0, checked.stdout)
        where = run(python, "-c", "import multimodal_vae; print(multimodal_vae.__file__)").stdout
        hold("the installed package is the one imported", str(place) in where, where)
        hold("mmvae plugins lists wbt", " wbt " in (listed := run(mmvae, "plugins").stdout), listed)

        shutil.copytree(
            ROOT / "examples/otitis", place / "otitis", ignore=shutil.ignore_patterns("tests", "__pycache__")
        )
        (place / "tiny.toml").write_text(RECIPE)
        demo = ("otitis/demo.py", "--recipe", "tiny.toml", "--out", "out", "--count", "10")
        shown = run(python, *demo, "--noe", "24", "--ome", "24", "--aom", "24")
        hold("examples/otitis runs from another folder", shown.returncode == 0, shown.stderr)
        pairs = len(list((place / "out/generated").rglob("*.png"))), len(list((place / "out/generated").rglob("*.csv")))
        hold("it leaves 30 images, and 30 grids beside the manifest", pairs == (30, 31), str(pairs))
        hold("and four figures", len(list((place / "out/figures").glob("*.png"))) == 4)

        run(python, "-m", "pip", "uninstall", "-q", "-y", "multimodal-vae-wbt")
        listed = run(mmvae, "plugins").stdout
        hold("once its distribution is uninstalled, wbt is not listed", " wbt " not in listed, listed)
        hold("and otoscopy still is", " otoscopy " in listed, listed)
        lacking = run(mmvae, "sample", "out/run", "--out", "new")
        hold("a run that needs it ends with exit code 2", lacking.returncode == 2, lacking.stderr)
        hold("in one line", lacking.stderr.count("\n") == 1, lacking.stderr)
        hold("which names what to install", "multimodal-vae-wbt" in lacking.stderr, lacking.stderr)
        print(lacking.stderr.strip())
    print(f"{held} passed, 0 failed")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
