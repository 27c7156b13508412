"""Install good, broken and hostile plugins beside the core, and check that none affects another.

Run: ``python tests/check_plugins.py DIST CONSTRAINTS CORE``; it prints each check and their number.
"""

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from fresh import fresh

ROOT = Path(__file__).parent.parent
KINDS = {
    "multimodal_vae.modalities": "modality",
    "multimodal_vae.fusions": "fusion",
    "multimodal_vae.metric_losses": "metric_loss",
    "multimodal_vae.samplers": "sampler",
    "multimodal_vae.refiners": "refiner",
    "multimodal_vae.loggers": "logger",
}
LOSS = """
from multimodal_vae import MetricLoss
class Thing(MetricLoss):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
    def forward(self, latents, labels):
        return self.factor * latents.square().mean()
"""
GOOD = """
from multimodal_vae import KDE, Logger, Triplet, Vector
class Reading(Vector): pass
class Mild(Triplet): pass
class Cloud(KDE): pass
class Silent(Logger):
    def log(self, step, values): pass
"""
HEAD = "import os, pathlib\npathlib.Path(os.environ['MARKS'], __name__).touch()\n"  # a trace of each import


@dataclass
class Neighbor:
    """A distribution with one module, whose import leaves a trace."""

    name: str
    text: str = ""
    points: str = "multimodal_vae.metric_losses thing = MODULE:Thing"
    """Lines of ``group name = value``."""
    says: list[str] = field(default_factory=list)
    """Words of the error that it causes; none for a good one."""
    version: str = "1.2"
    needs: list[str] = field(default_factory=list)
    backend: str = "hatchling"
    options: list[str] = field(default_factory=list)
    state: str = ""
    """What ``mmvae plugins --check`` prints if that is not the error."""

    @property
    def module(self) -> str:
        """Name of its module."""
        return re.sub(r"[-_.]+", "_", self.name).lower()

    @property
    def owner(self) -> str:
        """Name in pip's spelling."""
        return self.module.replace("_", "-")

    @property
    def entries(self) -> list[tuple[str, str, str]]:
        """Group, name and value of each entry point."""
        lines = self.points.replace("MODULE", self.module).splitlines()
        return [tuple(re.fullmatch(r"(\S+) (\S+) = ?(.*)", line).groups()) for line in lines]  # type: ignore[union-attr,misc]

    @property
    def part(self) -> tuple[str, str]:
        """Kind and full name of its last part."""
        group, name, _ = [each for each in self.entries if each[0] in KINDS][-1]
        return KINDS[group], f"{self.owner}:{name}"

    def write(self, place: Path) -> list[str]:
        """Write its source, and return pip's arguments that install it."""
        folder = place / self.name
        source = folder / "src" if self.backend == "setuptools" else folder
        source.mkdir(parents=True)
        (source / f"{self.module}.py").write_text(HEAD + self.text)
        build = "setuptools.build_meta" if self.backend == "setuptools" else "hatchling.build"
        lines = [f'[build-system]\nrequires = ["{self.backend}"]\nbuild-backend = "{build}"', "[project]"]
        lines += [f'name = "{self.name}"\nversion = "{self.version}"\ndependencies = {json.dumps(self.needs)}']
        for group in {group for group, _, _ in self.entries}:
            lines += [f'[project.entry-points."{group}"]']
            lines += [f'"{name}" = {json.dumps(value)}' for g, name, value in self.entries if g == group]
        if self.backend == "setuptools":
            lines += [f'[tool.setuptools]\npackage-dir = {{"" = "src"}}\npy-modules = ["{self.module}"]']
        else:
            lines += [f'[tool.hatch.build.targets.wheel]\nonly-include = ["{self.module}.py"]']
        (folder / "pyproject.toml").write_text("\n".join(lines) + "\n")
        return [*self.options, str(folder)]


def vector(body: str) -> str:
    """Return a modality that overrides one thing."""
    return f"from multimodal_vae import Vector\nclass Thing(Vector):\n    {body}\n"


SAMPLER = "multimodal_vae.samplers thing = MODULE:Thing"
MODALITY = "multimodal_vae.modalities thing = MODULE:Thing"
FUSION = "multimodal_vae.fusions thing = MODULE:Thing"
N = Neighbor
BROKEN = [
    N("mv-import", "import surely_not_there", says=["ModuleNotFoundError", "surely_not_there"]),
    N("mv-syntax", "def (:", says=["SyntaxError"]),
    N("mv-panic", "class Panic(BaseException): pass\nraise Panic('one\\ntwo')", says=["Panic: one two"]),
    N("mv-attribute", "Think = 3", says=["AttributeError", "Thing"]),
    N("mv-number", "Thing = 3", says=["is mv_number:Thing, which is no metric_loss"]),
    N("mv-kind", "from multimodal_vae import KDE as Thing", says=["is mv_kind:Thing, which is no metric_loss"]),
    N(
        "mv-unannotated",
        vector("def __init__(self, size):\n        super().__init__(size)"),
        MODALITY,
        ["TypeError: Thing.__init__ must annotate 'size'"],
    ),
    N(
        "mv-decoder",
        vector("def decoder(self): return None"),
        MODALITY,
        ["TypeError: Thing.decoder must take (self, latent_dim)"],
    ),
    N(
        "mv-kwargs",
        vector("def __init__(self, **settings: int):\n        super().__init__(**settings)"),
        MODALITY,
        ["TypeError: Thing.__init__ must name each of its settings"],
    ),
    N("mv-shape", vector("def shape(self): return (3,)"), MODALITY, ["TypeError: Thing.shape must be a property"]),
    N(
        "mv-abstract",
        "from multimodal_vae import DensitySampler\n"
        "class Thing(DensitySampler):\n    def fit(self, latents): return self",
        SAMPLER,
        ["is mv_abstract:Thing, which lacks forward"],
    ),
    N(
        "mv-constructor",
        LOSS.replace("super().__init__()", "raise RuntimeError('no license')"),
        says=["could not be constructed by mv_constructor:Thing", "RuntimeError: no license"],
    ),
    N("mv-hint", LOSS.replace("float", "'Unheard'"), says=["NameError", "Unheard"]),
    N("mv-leaves", LOSS.replace("super().__init__()", "raise SystemExit(0)"), says=["SystemExit: 0"]),
    N("mv-exit", "import sys; sys.exit('enough')", says=["SystemExit: enough"]),
    N("mv-newer", LOSS, needs=["multimodal-vae>=99"], says=["needs multimodal-vae>=99, but", "is installed"]),
    N(
        "mv-odd",
        points="multimodal_vae.fusions thing = not a module!",
        says=["thing = 'not a module!' is not of the form module:Class"],
    ),
    N("mv-empty", points="multimodal_vae.fusions thing =", says=["thing = '' is not of the form module:Class"]),
    N("mv-percent", points="multimodal_vae.fusions thing = 50%", says=["thing = '50%' is not of the form"]),
    N("mv-colon", LOSS, "multimodal_vae.metric_losses a:thing = MODULE:Thing", ["contains a colon"]),
]
ABORTS = N("mv-aborts", "import os; os._exit(0)", state="ended the process (0)")
GOOD_ONE = N(
    "mv-good",
    GOOD,
    "multimodal_vae.modalities reading = MODULE:Reading\nmultimodal_vae.metric_losses mild = MODULE:Mild\n"
    "multimodal_vae.samplers cloud = MODULE:Cloud\nmultimodal_vae.loggers silent = MODULE:Silent",
    version="1.4",
)
TWINS = [N(f"mv-twin-{each}", LOSS, "multimodal_vae.metric_losses twin = MODULE:Thing") for each in ("one", "two")]
EDITABLE = [
    N("Mv.Edit_Setuptools", LOSS, backend="setuptools", version="3.1", options=["-e"]),
    N("mv-edit-hatchling", LOSS, version="3.2", options=["-e"]),
]
SOUND = [
    GOOD_ONE,
    TWINS[0],
    N("mv-slow", "import time; time.sleep(5)\n" + LOSS),
    N("mv-prints", "print('Error: nothing is wrong')\n" + LOSS),
    # Claims the name of a default, and lists a class of the core under a name that sorts first.
    N(
        "mv-thief",
        LOSS,
        "multimodal_vae.metric_losses triplet = MODULE:Thing\n"
        "multimodal_vae.metric_losses aaa = multimodal_vae.metric_losses.triplet:Triplet",
    ),
    N("mv-stale", LOSS, version="2.0"),
    N("mv-setuptools", LOSS, backend="setuptools"),
    N("mv-stranger-percent", LOSS, "some.group a = 50%:%(b)s\nmultimodal_vae.metric_losses thing = MODULE:Thing"),
]
# Metadata that no tool installs, so they are written after the installation.
MALFORMED = {
    "mv-stranger": ("", "[console_scripts]\nno equals sign\n[console_scripts]\n"),
    "mv-bytes": ("", b"[console_scripts]\ncaf\xe9 = a:b\n"),
    "mv-ours": (LOSS, "[multimodal_vae.fusions]\nno equals sign\n"),
    "mv-our-bytes": (LOSS, b"[multimodal_vae.fusions]\ncaf\xe9 = mv_our_bytes:Thing\n"),
    "mv-mark": (LOSS, "\ufeff[multimodal_vae.fusions]\nthing = mv_mark:Thing\n"),
}
OURS = ["mv-ours", "mv-our-bytes", "mv-mark"]

# Programs to run in the new environment, with results as JSON.
TRAIN = """
import json, sys, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", ".*gives patients away")  # one sampler is a kernel density
from multimodal_vae.discovery import shield
shield()  # torch cannot be imported beside malformed metadata
import torch
import multimodal_vae as mv
torch.set_num_threads(1)
modality, fusion, loss, sampler, loggers, out = json.loads(sys.argv[1])
rng = torch.Generator().manual_seed(0)
labels = [row % 2 for row in range(16)]
values = torch.randn(16, 3, generator=rng) + torch.tensor(labels)[:, None]
part = mv.Modality.of({"name": modality, "size": 3, "hidden": 8})
data = mv.MultimodalDataset.from_tensors({"x": values}, labels, {"x": part})
vae = mv.MultimodalVAE(data.modalities, data.classes, fusion, loss, latent_dim=2, seed=0)
mv.fit(vae, data, epochs=1, per_class=4, device="cpu", show=False, loggers=loggers, out=out)
run = mv.open_run(out, data)
drawn = run.synthesizer(sampler).sample("1", 5, seed=0)["x"]
records = {(each["kind"], each["name"], each["distribution"]) for each in run.environment["parts"]}
print(json.dumps({"shape": list(drawn.shape), "finite": bool(drawn.isfinite().all()), "parts": sorted(records)}))
"""
ALONE = """
import json, sys
from multimodal_vae.discovery import shield
shield()
import multimodal_vae as mv
bases = {base.kind: base for base in (mv.Modality, mv.Fusion, mv.MetricLoss, mv.DensitySampler, mv.Logger)}
said = {}
for kind, name in json.loads(sys.argv[1]):
    try:
        said[name] = ["made", repr(bases[kind].of(name))]
    except mv.PluginError as error:
        said[name] = ["PluginError", str(error)]
    except BaseException as error:
        said[name] = [type(error).__name__, str(error)]
print(json.dumps(said))
"""
BESIDE = """
import os, sys
os.chdir(sys.argv.pop(1))
from multimodal_vae.cli import main
sys.argv = ["mmvae", "plugins"]
main()
"""
OPEN = """
import sys
from multimodal_vae.discovery import shield
shield()
import multimodal_vae as mv
run = mv.open_run(sys.argv[1])
print(type(run.model.metric_loss).__module__, run.model.metric_loss.factor)
"""


def rows(neighbors: Iterable[Neighbor]) -> list[list[str]]:
    """Return the rows in which ``mmvae plugins`` lists them."""
    return [
        [KINDS[group], name, each.owner, each.version]
        for each in neighbors
        for group, name, _ in each.entries
        if group in KINDS
    ]


def main(dist: Path, constraints: Path, core: Path) -> None:
    """Run all checks; exit at the first that fails."""
    (wheel,) = dist.glob("multimodal_vae-*.whl")
    with fresh(constraints, core) as env:
        hold, run, pip, place, python = env.hold, env.run, env.pip, env.place, env.python
        marks = place / "marks"
        marks.mkdir()
        env.environment["MARKS"] = str(marks)

        def install(neighbors: Iterable[Neighbor]) -> None:
            sources = [word for each in neighbors for word in each.write(place / "sources")]
            pip("install", "--no-deps", "--no-build-isolation", *sources)

        def train(*recipe: object) -> dict[str, object]:
            done = run(python, "-c", TRAIN, json.dumps(recipe))
            return json.loads(done.stdout) if not done.returncode else {"parts": [], "stderr": done.stderr}  # type: ignore[no-any-return]

        def listing() -> list[list[str]]:
            done = run("mmvae", "plugins")
            if done.returncode or done.stderr:
                sys.exit(f"mmvae plugins ended with {done.returncode}\n{done.stdout}{done.stderr}")
            return [line.split() for line in done.stdout.splitlines()[1:]]

        pip("install", "setuptools", "hatchling", "editables", wheel)
        where = run(python, "-c", "import multimodal_vae; print(multimodal_vae.__file__)").stdout
        hold("the core is installed, not the checkout", str(env.bin.parent) in where, where)
        ours = listing()
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
        own = sorted([kind, name, "multimodal-vae"] for group, kind in KINDS.items() for name in declared[group])
        hold(f"it has {len(own)} parts of its own", [row[:3] for row in ours] == own, ours)

        install([*BROKEN, ABORTS, *SOUND, *(N(name, text, "a.group a = b:c") for name, (text, _) in MALFORMED.items())])
        packages = next((env.bin.parent / "lib").glob("python*/site-packages"))
        # Leftovers of an older version in three spellings, one with a part that no longer exists.
        for spelling in ("mv_stale.egg-info", "mv.stale-1.0-py3.11.egg-info", "Mv_Stale-0.9.egg-info"):
            (packages / spelling).mkdir()
            (packages / spelling / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: mv.stale\nVersion: 1.0\n")
            (packages / spelling / "requires.txt").write_text("multimodal-vae>=99\n")
            (packages / spelling / "entry_points.txt").write_text(
                "[multimodal_vae.metric_losses]\nthing = old_module:Old\nghost = old_module:Ghost\n"
            )
        everyone = [*BROKEN, ABORTS, *SOUND]
        for malformed in (False, True):
            beside = "a malformed distribution" if malformed else "broken plugins"
            if malformed:
                trained = train("vector", "concat", "twin", "gaussian", [], "twin-alone")
                alone = ["metric_loss", "twin", "mv-twin-one"]
                hold("a plugin whose name is unique needs no prefix", alone in trained["parts"], trained)  # type: ignore[operator]
                install([TWINS[1], *EDITABLE])  # not later: setuptools fails beside malformed metadata
                everyone += [TWINS[1], *EDITABLE]
                for name, (_, entry_points) in MALFORMED.items():
                    (file,) = packages.glob(f"{name.replace('-', '_')}-*.dist-info/entry_points.txt")
                    file.write_bytes(entry_points if isinstance(entry_points, bytes) else entry_points.encode())
            shutil.rmtree(marks)
            marks.mkdir()
            wanted = sorted([*ours, *rows(everyone)])
            listed = listing()
            differing = [row for row in listed + wanted if (row in listed) != (row in wanted)]
            hold(f"beside {beside}, mmvae plugins lists every part once", sorted(listed) == wanted, differing)
            hold("and imports none of them", not list(marks.iterdir()), list(marks.iterdir()))
            trained = train("vector", "concat", "triplet", "gaussian", ["jsonl"], f"core-{malformed}")
            hold(
                "the core trains and samples", (trained.get("shape"), trained.get("finite")) == ([5, 3], True), trained
            )
            hold("with its own parts", {part[2] for part in trained["parts"]} == {"multimodal-vae"}, trained)  # type: ignore[attr-defined]
            trained = train("reading", "concat", "mild", "cloud", ["silent"], f"good-{malformed}")
            hold("a good plugin trains and samples", trained.get("finite"), trained)
            owned = [["logger", "silent", "mv-good"], ["metric_loss", "mild", "mv-good"]]
            hold("and owns its parts", all(part in trained["parts"] for part in owned), trained)  # type: ignore[operator]

        egg_infos = list((place / "sources").rglob("*.egg-info"))
        hold("an editable install leaves its egg-info in the source tree", len(egg_infos) >= 1)
        listed = [line.split() for line in run(python, "-c", BESIDE, egg_infos[0].parent).stdout.splitlines()[1:]]
        hold("which lists nothing twice, also from there", sorted(listed) == wanted, listed)

        kinds = [each.part for each in everyone if each != ABORTS]
        kinds += [
            ("metric_loss", name) for name in ("twin", "mv-twin-two:twin", "triplet", "mv-thief:aaa", "mv-stale:ghost")
        ]
        alone = run(python, "-c", ALONE, json.dumps(kinds))
        hold("each part is looked up", not alone.returncode, alone.stderr)
        said = json.loads(alone.stdout.splitlines()[-1])
        for each in BROKEN:
            kind, message = said[each.part[1]]
            if each.name == "mv-colon":  # it has no usable name
                hold(f"{each.name} cannot be found", kind == "PluginError", message)
                continue
            words = [f"{each.owner} {each.version}", *each.says]
            if not set(each.says[0].split()) & {"needs", "thing"}:  # it was imported
                words.append(each.module)
            hold(f"{each.name} is refused: {each.says[-1]}", kind == "PluginError", (kind, message))
            hold("by distribution, version, module and cause", all(word in message for word in words), message)
            hold("in one line", "\n" not in message, message)
        for each in [*SOUND[1:], *TWINS, *EDITABLE]:
            name = each.part[1]
            hold(f"{name} is made", said[name][0] == "made", said[name])
        hold("two owners of a name are both named", "mv-twin-one and mv-twin-two" in said["twin"][1], said["twin"])
        hold("and a prefix distinguishes them", "mv-twin-one:twin" in said["twin"][1], said["twin"])
        hold(
            "no plugin takes a name of the core",
            said["triplet"] == ["made", said["mv-thief:aaa"][1]],
            said["triplet"],
        )
        hold("a stale egg-info's part is unknown", "no metric_loss 'mv-stale:ghost'" in said["mv-stale:ghost"][1])

        trained = train("vector", "concat", {"name": "mv-twin-two:twin", "factor": 2}, "gaussian", [], "twin-two")
        hold(
            "one of two owners trains", ["metric_loss", "mv-twin-two:twin", "mv-twin-two"] in trained["parts"], trained
        )  # type: ignore[operator]
        for name, answer in (("twin-alone", "mv_twin_one 1.0"), ("twin-two", "mv_twin_two 2.0")):
            opened = run(python, "-c", OPEN, name)
            hold(f"the run {name} reopens with its own", opened.stdout.strip() == answer, opened.stdout + opened.stderr)

        shutil.rmtree(marks)
        marks.mkdir()
        checked = run("mmvae", "plugins", "--check")
        hold("mmvae plugins --check ends with exit code 1", checked.returncode == 1, checked.stderr)
        hold("and without output of the plugins", "nothing is wrong" not in checked.stdout + checked.stderr)
        states = {tuple(line.split()[:4]): line.split(maxsplit=4)[4] for line in checked.stdout.splitlines()[1:]}
        table = checked.stdout
        hold("the core's parts work", all(states[tuple(row)] == "works" for row in ours), table)
        sound = rows([*SOUND, TWINS[1], *EDITABLE])
        hold("every sound plugin works", all(states[tuple(row)] == "works" for row in sound), table)
        for each in [*BROKEN, ABORTS]:
            state = states[tuple(rows([each])[0])]
            hold(f"{each.name}: {state}", all(word in state for word in [*each.says, each.state]), state)
        for name in OURS:
            hold(f"{name} cannot be read", "cannot be read: " in states["-", "-", name, "1.2"], table)
        hold("and imports each of them", {each.module for each in SOUND} <= {mark.name for mark in marks.iterdir()})

        code = f"{ALONE}\nassert not {{'mv_slow', 'mv_import'}} & set(sys.modules)"
        asked = json.dumps([("metric_loss", "mv-slow:thing"), ("metric_loss", "mild"), ("metric_loss", "triplet")])
        said = json.loads(run(python, "-c", code, asked, MMVAE_PLUGINS="x, Mv_Good").stdout)
        hold(
            "MMVAE_PLUGINS keeps others out",
            "to the environment variable MMVAE_PLUGINS" in said["mv-slow:thing"][1],
            said,
        )
        hold("and lets the named one and the core in", [said["mild"][0], said["triplet"][0]] == ["made"] * 2, said)

        pip("uninstall", "-y", "mv-good", "mv-twin-one")
        hold("an uninstalled plugin is not listed", not [row for row in listing() if row[2] == "mv-good"])
        said = json.loads(run(python, "-c", ALONE, json.dumps([("metric_loss", "mild")])).stdout)
        hold("its name is unknown", said["mild"][1].startswith("there is no metric_loss 'mild'"), said)
        for name, wanted_words in (("good-True", "pip install mv-good==1.4"), ("twin-alone", "of mv-twin-two 1.2")):
            lacking = run("mmvae", "sample", name, "--out", "new")
            hold(f"the run {name} ends with exit code 2", lacking.returncode == 2, lacking.stderr)
            hold("in one line", lacking.stderr.count("\n") == 1, lacking.stderr)
            hold(f"which says: {wanted_words}", wanted_words in lacking.stderr, lacking.stderr)


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]))
