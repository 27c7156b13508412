"""Install the wheels into a new environment and use them outside the checkout.

Run: ``python tests/check_wheels.py DIST CONSTRAINTS CORE``; it prints each check and their number.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from fresh import fresh

ROOT = Path(__file__).parent.parent
PLUGINS, HEAVY = ("otoscopy", "wbt", "ecg", "eeg", "nifti", "dicom"), ("mlflow", "omics")
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


def main(dist: Path, constraints: Path, core: Path) -> None:
    """Run all checks; exit at the first that fails."""
    with fresh(constraints, core) as env:
        hold, run, place = env.hold, env.run, env.place
        heavy = {wheel for name in HEAVY for wheel in dist.glob(f"multimodal_vae_{name}-*.whl")}
        wheels = sorted({*dist.glob("*.whl")} - heavy)
        hold(
            "a wheel of each distribution is there",
            len(wheels) == 1 + len(PLUGINS) and len(heavy) == len(HEAVY),
            str(wheels),
        )
        env.pip("install", *wheels)
        checked = run(env.python, "-m", "pip", "check")
        hold("pip check finds no fault", checked.returncode == 0, checked.stdout)
        where = run(env.python, "-c", "import multimodal_vae; print(multimodal_vae.__file__)").stdout
        hold("the installed package is the one imported", str(env.bin.parent) in where, where)
        listed = run("mmvae", "plugins").stdout
        hold("mmvae plugins lists every plugin", all(f" {name} " in listed for name in PLUGINS), listed)
        states = run("mmvae", "plugins", "--check")
        hold("and all parts work", states.returncode == 0, states.stdout)

        lacking = run("mmvae", "check", "logger", "mlflow")
        hold(
            "a plugin that is not installed is named",
            "pip install multimodal-vae-mlflow" in lacking.stderr,
            lacking.stderr,
        )

        shutil.copytree(
            ROOT / "examples/otitis", place / "otitis", ignore=shutil.ignore_patterns("tests", "__pycache__")
        )
        (place / "tiny.toml").write_text(RECIPE)
        demo = ("otitis/demo.py", "--recipe", "tiny.toml", "--out", "out", "--count", "10")
        shown = run(env.python, *demo, "--noe", "24", "--ome", "24", "--aom", "24")
        hold("examples/otitis runs from another folder", shown.returncode == 0, shown.stderr)
        pairs = len(list((place / "out/generated").rglob("*.png"))), len(list((place / "out/generated").rglob("*.csv")))
        hold("it leaves 30 images, and 30 grids beside the manifest", pairs == (30, 31), str(pairs))
        hold("and four figures", len(list((place / "out/figures").glob("*.png"))) == 4)

        env.pip("uninstall", "-y", "multimodal-vae-wbt")
        listed = run("mmvae", "plugins").stdout
        hold("once its distribution is uninstalled, wbt is not listed", " wbt " not in listed, listed)
        hold("and otoscopy still is", " otoscopy " in listed, listed)
        lacking = run("mmvae", "sample", "out/run", "--out", "new")
        hold("a run that needs it ends with exit code 2", lacking.returncode == 2, lacking.stderr)
        hold("in one line", lacking.stderr.count("\n") == 1, lacking.stderr)
        hold("which names what to install", "pip install multimodal-vae-wbt==" in lacking.stderr, lacking.stderr)
        print(lacking.stderr.strip())


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]))
