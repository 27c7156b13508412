import re
import subprocess
import sys

import pytest
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.registry import Entry

CORE = {
    "modality": {"image", "signal", "vector", "categorical"},
    "fusion": {"concat"},
    "metric_loss": {"triplet"},
    "sampler": {"kde", "gmm"},
    "logger": {"jsonl", "console"},
}


class Quiet(MetricLoss):
    """A class of this session."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return 0 * latents.sum()


@pytest.fixture(autouse=True)
def _clean():
    registry.refresh()
    yield
    registry._registered.clear()
    registry.refresh()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with these entry points on the path, as pip would."""

    def add(name: str, entry_points: str | bytes, modules: dict[str, str] | None = None, version: str = "1.0") -> None:
        folder = tmp_path / name
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
        (info / "entry_points.txt").write_bytes(
            entry_points.encode() if isinstance(entry_points, str) else entry_points
        )
        for module, text in (modules or {}).items():
            (folder / f"{module}.py").write_text(text, "utf-8")
        monkeypatch.syspath_prepend(folder)
        registry.refresh()

    return add


def core_is_found() -> bool:
    return all(names <= {entry.name for entry in registry.entries(kind)} for kind, names in CORE.items())


def test_every_core_part_is_found_and_owned():
    assert core_is_found()
    for kind, names in CORE.items():
        for name in names:
            part = registry.load(kind, name)
            entry = registry.owner_of(part)
            assert entry is not None
            assert (entry.kind, entry.name, entry.distribution) == (kind, name, "multimodal-vae")
            assert registry.name_of(part) == name
            # The value names the module that defines the part, or its name could not be found without importing others.
            assert (entry.module, entry.attribute) == (part.__module__, part.__qualname__)


def test_entries_are_sorted_and_of_one_kind_where_asked():
    assert registry.entries() == sorted(registry.entries())
    assert {entry.kind for entry in registry.entries("fusion")} == {"fusion"}


def test_an_unknown_name_is_answered_with_the_near_one():
    with pytest.raises(mv.PluginError, match="no metric_loss 'tripelt'; did you mean 'triplet'"):
        mv.MetricLoss.of("tripelt")


@pytest.mark.parametrize(("kind", "name"), registry.SHIPPED)
def test_a_shipped_plugin_that_is_missing_is_named_with_its_distribution(kind, name, monkeypatch):
    monkeypatch.setattr(registry, "_discover", lambda: ())
    with pytest.raises(mv.PluginError, match=f"pip install multimodal-vae-{name}"):
        registry.load(kind, name)


def test_a_registered_class_is_known_by_its_name():
    mv.register(Quiet)
    assert isinstance(mv.MetricLoss.of("quiet"), Quiet)
    assert Quiet().configuration == {"name": "quiet"}
    mv.register(Quiet, "hush")
    assert isinstance(mv.MetricLoss.of({"name": "hush"}), Quiet)
    with pytest.raises(mv.PluginError, match="did you mean 'hush'"):
        mv.MetricLoss.of("hushh")
    assert registry.owner_of(Quiet) is None


def test_a_class_of_another_session_says_so():
    assert "." in Quiet().name
    with pytest.raises(mv.PluginError, match="register"):
        mv.MetricLoss.of(Quiet().configuration)


@pytest.mark.parametrize("thing", [int, object(), mv.Part])
def test_only_parts_can_be_registered(thing):
    with pytest.raises(mv.PluginError, match="not a part"):
        mv.register(thing)


def test_two_owners_of_a_name_are_both_named(monkeypatch):
    twins = tuple(Entry("fusion", "twin", "a", "B", owner, "1") for owner in ("one-dist", "other-dist"))
    monkeypatch.setattr(registry, "_discover", lambda: twins)
    with pytest.raises(mv.PluginError, match="one-dist and other-dist"):
        registry.load("fusion", "twin")


def test_two_installed_owners_of_a_name_are_both_named(install):
    install("one-dist", "[multimodal_vae.fusions]\ntwin = one_module:Fusion\n")
    install("other-dist", "[multimodal_vae.fusions]\ntwin = other_module:Fusion\n")
    with pytest.raises(mv.PluginError, match=r"one-dist.*other-dist|other-dist.*one-dist"):
        registry.load("fusion", "twin")


def test_an_installed_part_is_found_without_being_imported(install):
    text = "from multimodal_vae import Triplet\nclass Mine(Triplet): pass\n"
    install("my-dist", "[multimodal_vae.metric_losses]\nmine = my_losses:Mine\n", {"my_losses": text}, "2.5")
    (entry,) = [entry for entry in registry.entries("metric_loss") if entry.name == "mine"]
    assert (entry.distribution, entry.version) == ("my-dist", "2.5")
    assert "my_losses" not in sys.modules
    part = mv.MetricLoss.of({"name": "mine", "margin": 2.0})
    assert part.configuration == {"name": "mine", "margin": 2.0, "distance": "euclidean"}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ({"broken_part": "raise RuntimeError('no licence')"}, ["RuntimeError", "no licence"]),
        ({"broken_part": "import surely_not_installed"}, ["ModuleNotFoundError", "surely_not_installed"]),
        ({"broken_part": ""}, ["AttributeError", "Thing"]),
        ({}, ["ModuleNotFoundError"]),
    ],
)
def test_a_part_that_does_not_import_names_its_owner(install, module, words):
    install("broken-dist", "[multimodal_vae.samplers]\nbroken = broken_part:Thing\n", module)
    sys.modules.pop("broken_part", None)
    with pytest.raises(mv.PluginError) as caught:
        registry.load("sampler", "broken")
    assert all(word in str(caught.value) for word in ["broken-dist 1.0", "broken_part", *words])


@pytest.mark.parametrize(
    "text",
    [
        "name = a.b:c\n",
        "[console_scripts]\nno equals sign\n",
        "[console_scripts]\ndiscount = 50%\n",
        "[console_scripts]\ntwice = a:b\ntwice = c:d\n",
        "[one]\na = b:c\n[one]\na = b:d\n",
        b"[console_scripts]\ncaf\xe9 = a:b\n",
        "[multimodal_vae.modalities]\ndiscount = 50%\n",
        "[multimodal_vae.modalities]\nodd = not a module!\n",
        "[multimodal_vae.modalities]\nempty =\n",
        "[multimodal_vae.modalities]\nno equals sign\n",
        "\ufeff[console_scripts]\na = b:c\n",
        "",
    ],
)
def test_a_strangers_malformed_metadata_costs_nothing_else(install, text):
    install("stranger", text)
    assert core_is_found()
    assert isinstance(mv.MetricLoss.of("triplet"), mv.Triplet)


def test_listing_imports_neither_torch_nor_a_plugin():
    code = (
        "import sys; sys.argv = ['mmvae', 'plugins']\n"
        "from multimodal_vae import cli\n"
        "try: cli.main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'PIL', 'numpy'} & set(sys.modules)\n"
        "heavy |= {name for name in sys.modules if name.startswith('multimodal_vae_')}\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "triplet" in done.stdout
    assert "multimodal-vae" in done.stdout


TWIN = "from multimodal_vae import Triplet\nclass Twin(Triplet): pass\n"


@pytest.fixture
def twins(install):
    for owner in ("one", "other"):
        install(f"{owner}-dist", f"[multimodal_vae.metric_losses]\ntwin = {owner}_twin:Twin\n", {f"{owner}_twin": TWIN})


def test_one_of_two_owners_can_be_named(twins):
    part = mv.MetricLoss.of("other-dist:twin")
    assert type(part).__module__ == "other_twin"
    assert part.configuration["name"] == "other-dist:twin"
    assert type(mv.MetricLoss.of(part.configuration)) is type(part)


def test_the_error_over_two_owners_says_how_to_name_one(twins):
    with pytest.raises(mv.PluginError, match=r"write '(one|other)-dist:twin'"):
        mv.MetricLoss.of("twin")


def test_a_name_may_always_bear_its_distribution():
    assert mv.MetricLoss.of("multimodal-vae:triplet").name == "triplet"
    with pytest.raises(mv.PluginError, match="'nobody:triplet'"):
        mv.MetricLoss.of("nobody:triplet")


@pytest.mark.parametrize(("allowed", "loads"), [("one-dist", True), ("x, One_Dist", True), ("x", False), ("", False)])
def test_which_distributions_may_load_can_be_restricted(twins, monkeypatch, allowed, loads):
    monkeypatch.setenv("MMVAE_PLUGINS", allowed)
    assert mv.MetricLoss.of("triplet")  # the core's own always may
    if loads:
        assert mv.MetricLoss.of("one-dist:twin")
    else:
        with pytest.raises(mv.PluginError, match="one-dist, which MMVAE_PLUGINS does not name"):
            mv.MetricLoss.of("one-dist:twin")


def test_what_is_no_part_of_its_kind_is_refused_by_name(install):
    install("odd-dist", "[multimodal_vae.samplers]\nodd = odd_part:THING\n", {"odd_part": "THING = 3\n"})
    with pytest.raises(mv.PluginError, match=r"odd-dist 1\.0 is odd_part:THING, which is no sampler"):
        registry.load("sampler", "odd")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("from multimodal_vae import Triplet as Thing", "^works$"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import os\nos._exit(3)", r"ended the process \(3\)"),
        ("Thing = 3", "is no metric_loss"),
    ],
)
def test_each_part_is_checked_in_a_process_of_its_own(install, tmp_path, monkeypatch, text, state):
    install("a-dist", "[multimodal_vae.metric_losses]\nthing = a_thing:Thing\n", {"a_thing": text})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "a-dist"))
    (entry,) = [each for each in registry.entries("metric_loss") if each.name == "thing"]
    found = registry.check(entry)
    assert re.search(state, found), found
    assert "a_thing" not in sys.modules
