import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae import discovery, registry
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.registry import PartEntry

CORE = {
    "modality": {"image", "signal", "vector", "categorical", "counts"},
    "fusion": {"concat"},
    "metric_loss": {"triplet", "supcon", "proxy_anchor", "center", "pytorch_metric_learning"},
    "sampler": {"auto", "kde", "gaussian", "gmm", "flow", "prior", "interpolation", "private_gaussian"},
    "refiner": {"rectified_flow"},
    "logger": {"jsonl", "console", "tensorboard"},
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
    registry._preferred.clear()
    registry.refresh()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with these entry points, as pip would."""

    def add(
        name: str,
        entry_points: str | bytes,
        modules: dict[str, str] | None = None,
        version: str = "1.0",
        more: str = "",
    ) -> None:
        folder = tmp_path / name
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}", "utf-8")
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
            entry = registry.entry_of(part)
            assert entry is not None
            assert (entry.kind, entry.name, entry.distribution) == (kind, name, "multimodal-vae")
            assert registry.name_of(part) == name
            # An entry that named another module would make looking up the part's name import that module.
            assert (entry.module, entry.attribute) == (part.__module__, part.__qualname__)


def test_entries_are_sorted_and_of_one_kind_where_asked():
    assert registry.entries() == sorted(registry.entries())
    assert {entry.kind for entry in registry.entries("fusion")} == {"fusion"}


def test_an_unknown_name_is_answered_with_the_near_one():
    with pytest.raises(mv.PluginError, match="no metric_loss 'tripelt'; did you mean 'triplet'"):
        mv.MetricLoss.of("tripelt")


PLUGINS = [
    ("modality", "otoscopy"),
    ("modality", "wbt"),
    ("modality", "ecg"),
    ("modality", "eeg"),
    ("modality", "nifti"),
    ("modality", "dicom"),
    ("modality", "omics"),
    ("logger", "mlflow"),
]


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_plugin_that_is_missing_is_named_with_its_distribution(kind, name, monkeypatch):
    monkeypatch.setattr(registry, "discover", lambda: ())
    with pytest.raises(mv.PluginError, match=f"{kind} '{name}' is not installed.*pip install multimodal-vae-{name}$"):
        registry.load(kind, name)


@pytest.mark.parametrize("name", ["flow", "tensorboard", "metric-learning"])
def test_an_extra_that_is_no_plugin_answers_for_no_name(name):
    with pytest.raises(mv.PluginError, match=f"there is no modality '{name}'"):
        registry.load("modality", name)


def test_the_name_of_an_installed_plugin_is_unknown_among_other_kinds():
    with pytest.raises(mv.PluginError, match="there is no fusion 'wbt'"):
        registry.load("fusion", "wbt")


@pytest.mark.parametrize("folder", sorted(Path(__file__).parent.parent.glob("plugins/*/pyproject.toml")), ids=str)
def test_every_plugin_has_an_extra_of_its_name(folder):
    project = tomllib.loads(folder.read_text("utf-8"))["project"]
    (points,) = project["entry-points"].values()
    extras = tomllib.loads((folder.parents[2] / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    for name in points:
        assert [line.partition(">")[0] for line in extras[name]] == [project["name"]]


def test_a_registered_class_is_known_by_its_name():
    mv.register(Quiet)
    assert isinstance(mv.MetricLoss.of("quiet"), Quiet)
    assert Quiet().configuration == {"name": "quiet"}
    mv.register(Quiet, "hush")
    assert isinstance(mv.MetricLoss.of({"name": "hush"}), Quiet)
    with pytest.raises(mv.PluginError, match="did you mean 'hush'"):
        mv.MetricLoss.of("hushh")
    assert registry.entry_of(Quiet) is None


def test_a_class_of_another_session_says_so():
    assert "." in Quiet().name
    with pytest.raises(mv.PluginError, match="register"):
        mv.MetricLoss.of(Quiet().configuration)


@pytest.mark.parametrize("thing", [int, object(), mv.Part])
def test_only_parts_can_be_registered(thing):
    with pytest.raises(mv.PluginError, match="not a part"):
        mv.register(thing)


def test_two_owners_of_a_name_are_both_named(monkeypatch):
    twins = tuple(PartEntry("fusion", "twin", "a", "B", owner, "1") for owner in ("one-dist", "other-dist"))
    monkeypatch.setattr(registry, "discover", lambda: twins)
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
    assert part.configuration == {"name": "mine", "margin": 2.0, "distance": "euclidean", "mining": "semi-hard"}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ({"broken_part": "raise RuntimeError('no license')"}, ["RuntimeError", "no license"]),
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


@pytest.mark.parametrize("words", [["plugins"], ["--help"], ["plugins", "--help"], []])
def test_listing_and_help_import_neither_torch_nor_a_plugin(words):
    code = (
        f"import sys; sys.argv = ['mmvae', *{words}]\n"
        "from multimodal_vae import cli\n"
        "try: cli.main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'PIL', 'numpy'} & set(sys.modules)\n"
        "heavy |= {name for name in sys.modules if name.startswith('multimodal_vae_')}\n"
        "heavy |= {name for name in sys.modules if name.startswith('multimodal_vae.')} - "
        "{f'multimodal_vae.{name}' for name in ('allocation', 'bounds', 'cli', 'discovery', 'errors')}\n"
        "heavy -= {f'multimodal_vae.{name}' for name in ('options', 'part_commands', 'registry')}\n"
        "rooms = ('explore', 'privacy', 'release', 'selection', 'study')\n"
        "heavy -= {f'multimodal_vae.{each}{end}' for each in rooms for end in ('', '.commands')}\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("triplet" in done.stdout) == (words == ["plugins"])
    assert "multimodal-vae" in done.stdout or words != ["plugins"]


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
    assert mv.MetricLoss.of("triplet")  # the core is always allowed
    if loads:
        assert mv.MetricLoss.of("one-dist:twin")
    else:
        with pytest.raises(mv.PluginError, match="not allowed: add one-dist to the environment variable MMVAE_PLUGINS"):
            mv.MetricLoss.of("one-dist:twin")


def test_what_is_no_part_of_its_kind_is_refused_by_name(install):
    install("odd-dist", "[multimodal_vae.samplers]\nodd = odd_part:THING\n", {"odd_part": "THING = 3\n"})
    with pytest.raises(mv.PluginError, match=r"odd-dist 1\.0 is odd_part:THING, which is no sampler"):
        registry.load("sampler", "odd")


def entry_of(kind: str, name: str) -> PartEntry:
    (entry,) = [each for each in registry.entries(kind) if each.name == name]
    return entry


def test_register_serves_as_a_decorator_and_refuses_an_instance():
    @mv.register
    class Loud(Quiet):
        pass

    assert type(mv.MetricLoss.of("loud")) is Loud
    assert registry.is_registered(Loud)
    assert not registry.is_registered(Quiet)
    with pytest.raises(mv.PluginError, match=r"Loud\(\) is not a part: register takes a subclass"):
        mv.register(Loud())


def test_a_registered_class_answers_to_its_dotted_name_but_not_to_anothers():
    dotted = Quiet().name
    mv.register(Quiet, "hush")
    assert registry.load("metric_loss", dotted) is Quiet
    for kind, name in (("metric_loss", f"{dotted}er"), ("metric_loss", "Quiet"), ("sampler", dotted)):
        with pytest.raises(mv.PluginError):
            registry.load(kind, name)


def test_an_entry_is_found_without_an_import(install):
    install("Big.Dist_name", "[multimodal_vae.samplers]\nthing = no_such_module:Outer.Thing [extra]\n", version="2")
    wanted = PartEntry("sampler", "thing", "no_such_module", "Outer.Thing", "big-dist-name", "2")
    for spelling in ("thing", "big-dist-name:thing", "Big.Dist_name:thing", "BIG__DIST-.NAME:thing"):
        assert registry.find("sampler", spelling) == wanted
    assert wanted.release == "big-dist-name 2"
    with pytest.raises(mv.PluginError, match="no fusion 'big-dist-name:thing'"):
        registry.find("fusion", "big-dist-name:thing")


def test_a_class_within_a_class_is_loaded_and_knows_its_name(install):
    text = "from multimodal_vae import KDE\nclass Outer:\n    class Thing(KDE): pass\n"
    install("nested-dist", "[multimodal_vae.samplers]\nthing = nested_part:Outer.Thing\n", {"nested_part": text})
    assert mv.DensitySampler.of("thing").name == "thing"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("odd = not a module!", "odd = 'not a module!' is not of the form module:Class"),
        ("odd =", "odd = '' is not of the form module:Class"),
        ("odd = 50%", "odd = '50%' is not of the form module:Class"),
        ("odd = %(x)s:Y", "odd = '%(x)s:Y' is not of the form module:Class"),
        ("odd = a_module", "odd = 'a_module' is not of the form module:Class"),
        ("o:dd = a:B", "contains a colon"),
    ],
)
def test_an_entry_point_that_cannot_be_read_is_listed_with_what_is_wrong(install, line, fault):
    install("odd-dist", f"[multimodal_vae.samplers]\nfine = a.b:C\n{line}\n")
    fine, odd = [entry for entry in registry.entries("sampler") if entry.distribution == "odd-dist"]
    assert (fine.name, fine.fault) == ("fine", "")
    assert fault in odd.fault
    assert registry.states_of([odd]) == [odd.fault]
    assert list(discovery._by_entrypoints())  # no fallback was needed
    assert registry.unreadable_distributions() == []
    if ":" not in odd.name:
        with pytest.raises(mv.PluginError, match=r"'odd' of odd-dist 1\.0 cannot be loaded") as caught:
            registry.load("sampler", "odd")
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("text", "ours", "words"),
    [
        ("[console_scripts]\nno equals sign\n", False, ["line 2", "no equals sign"]),
        (b"[console_scripts]\ncaf\xe9 = a:b\n", False, ["UnicodeDecodeError"]),
        ("[console_scripts]\nx = multimodal_vae.samplers.kde:f\nno equals sign\n", False, ["line 3"]),
        ("[multimodal_vae.samplers]\nno equals sign\n", True, ["line 2", "no equals sign"]),
        (b"[multimodal_vae.samplers]\ncaf\xe9 = a:b\n", True, ["UnicodeDecodeError"]),
        ("\ufeff[multimodal_vae.samplers]\nlost = a:B\n", True, ["line: 1"]),
        ("[multimodal_vae.samplers\nlost = a:B\n", True, ["line: 1"]),
    ],
)
def test_a_distribution_whose_entry_points_cannot_be_read_is_said(install, monkeypatch, text, ours, words):
    install("stranger", text, version="0.1")
    (found,) = registry.unreadable_distributions()
    assert (found.distribution, found.version, found.offers_parts) == ("stranger", "0.1", ours)
    assert all(word in found.fault for word in words), found.fault
    assert "\n" not in found.fault
    with pytest.raises(mv.PluginError) as caught:
        registry.load("sampler", "lost")
    assert ("stranger 0.1 may have it" in str(caught.value)) == ours
    monkeypatch.setenv("MMVAE_PLUGINS", "another")
    assert not registry.unreadable_distributions()[0].offers_parts


def test_nobody_is_unreadable_where_all_is_well():
    assert registry.unreadable_distributions() == []


NEIGHBORS = """[console_scripts]
discount = 50%
[multimodal_vae.samplers]
one = a.b:One
odd = 50%
two = a.b:Two
[multimodal_vae.fusions]
three = a.b:Three
"""


def test_a_malformed_stranger_costs_its_neighbors_no_entry(install):
    install("good-dist", NEIGHBORS, version="3")
    before = registry.entries()
    assert {entry.name for entry in before if entry.distribution == "good-dist"} == {"one", "odd", "two", "three"}
    install("stranger", b"[console_scripts]\ncaf\xe9 = a:b\n")
    assert registry.entries() == before
    with pytest.raises(UnicodeError):  # the error behind the fallback
        list(discovery._by_entrypoints())


fragments = st.sampled_from(
    [
        b"[multimodal_vae.metric_losses]\n", b"[multimodal_vae.fusions", b"[console_scripts]\n", b"[DEFAULT]\n", b"]",
        b"triplet = a:B\n", b"triplet", b" = ", b"concat = %(x)s\n", b"%", b"\n", b"\r", b"\x00", b"\xff",
        b"a:b = c:d\n", b"\n  more", b"#", b";", b"\xef\xbb\xbf",
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """The entry_points.txt of a distribution, to overwrite."""
    info = tmp_path_factory.mktemp("path") / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n", "utf-8")
    return info / "entry_points.txt"


@given(content=st.binary(max_size=40) | st.lists(fragments | st.binary(max_size=3), max_size=12).map(b"".join))
def test_no_bytes_of_a_strangers_cost_the_core_anything(stranger, content):
    stranger.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(stranger.parent.parent), *sys.path])
        registry.refresh()
        found = registry.entries()
        assert core_is_found()
        assert type(mv.MetricLoss.of("triplet")) is mv.Triplet
        assert mv.Triplet().name == "triplet"
        assert registry.load("fusion", "concat") is mv.Concat
        assert {each.distribution for each in registry.unreadable_distributions()} <= {"stranger"}
        assert len(found) == len({(each.kind, each.name, each.distribution) for each in found})


def test_nobody_takes_a_name_of_the_core_nor_a_class(install):
    text = "from multimodal_vae import Triplet\nclass Mine(Triplet): pass\n"
    points = "triplet = thief_part:Mine\naaa = multimodal_vae.metric_losses.triplet:Triplet\n"
    install("thief-dist", f"[multimodal_vae.metric_losses]\n{points}", {"thief_part": text})
    assert type(mv.MetricLoss.of("triplet")) is mv.Triplet
    assert mv.Triplet().name == "triplet"
    owner = registry.entry_of(mv.Triplet)
    assert owner is not None
    assert (owner.name, owner.distribution) == ("triplet", "multimodal-vae")
    theirs = mv.MetricLoss.of("thief-dist:triplet")
    assert (type(theirs).__module__, theirs.name) == ("thief_part", "thief-dist:triplet")


@pytest.mark.parametrize("malformed", [False, True])
@pytest.mark.parametrize("spelling", ["a_b.egg-info", "a.b-1.0-py3.11.egg-info", "A__B-0.9.egg-info"])
def test_a_stale_egg_info_is_no_second_owner(install, tmp_path, spelling, malformed):
    install("a-b", "[multimodal_vae.samplers]\nthing = new_module:Thing\n", version="2.0")
    stale = tmp_path / "a-b" / spelling
    stale.mkdir()
    (stale / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: a.b\nVersion: 1.0\n")
    (stale / "requires.txt").write_text("multimodal-vae>=99\n")
    (stale / "entry_points.txt").write_text("[multimodal_vae.samplers]\nthing = old:Old\nghost = old:Ghost\n")
    if malformed:  # then the standard library reads
        install("stranger", "no section = a:b\n")
    found = [entry for entry in registry.entries() if entry.distribution == "a-b"]
    assert found == [PartEntry("sampler", "thing", "new_module", "Thing", "a-b", "2.0")]
    with pytest.raises(mv.PluginError, match="No module named 'new_module'"):  # not an error about the core's version
        registry.load("sampler", "thing")


@pytest.mark.parametrize("malformed", [False, True])
@pytest.mark.parametrize("metadata", [None, b"", b"Name: \xff\nVersion: \xff\n", b"Name: thing-dist\n"])
def test_a_distribution_without_readable_metadata_keeps_its_parts(install, tmp_path, mmvae, metadata, malformed):
    install("thing-dist", "[multimodal_vae.samplers]\nthing = a_module:Thing\n")
    path = tmp_path / "thing-dist" / "thing_dist-1.0.dist-info" / "METADATA"
    path.unlink() if metadata is None else path.write_bytes(metadata)
    if malformed:
        install("stranger", "no section = a:b\n")
    entry = registry.find("sampler", "thing")
    assert (entry.distribution, entry.version) == ("thing-dist", "?" if malformed else "1.0")
    with pytest.raises(mv.PluginError, match="No module named 'a_module'"):
        registry.load("sampler", "thing")
    assert mmvae("plugins")[0] == 0


def test_what_is_no_text_on_the_path_is_passed_over(monkeypatch):
    monkeypatch.setattr(sys, "path", [Path("/nowhere"), *sys.path, None, 3])
    registry.refresh()
    assert core_is_found()


@pytest.mark.parametrize("name", ["~umpy-1.2.dist-info", "gone.egg-info", "-.dist-info", "x.egg-link"])
def test_what_an_installer_left_behind_is_nobody(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    registry.refresh()
    assert core_is_found()
    assert registry.unreadable_distributions() == []


@pytest.mark.parametrize(
    ("requirement", "refused"),
    [
        ("multimodal-vae>=99", ">=99"),
        ("Multimodal.VAE [extra] >=0.0.1, >=99", ">=99"),
        ("multimodal_vae<0.0.1", "<0.0.1"),
        ("multimodal-vae>=0.0.1", ""),
        ("multimodal-vae", ""),
        ("multimodal-vae>=99; extra == 'new'", ""),
        ("multimodal-vae>=99; python_version < '3'", ""),
        ("multimodal-vae-wbt>=99", ""),
        ("no requirement at all!", ""),
        ("no requirement at all!\nRequires-Dist: multimodal-vae>=99", ">=99"),
    ],
)
def test_a_part_that_needs_another_core_is_not_imported(install, requirement, refused):
    points = "[multimodal_vae.metric_losses]\nthing = needy_part:Thing\n"
    text = "from multimodal_vae import Triplet as Thing"
    install("needy-dist", points, {"needy_part": text}, "1.5", f"Requires-Dist: {requirement}\n")
    sys.modules.pop("needy_part", None)
    if not refused:
        assert registry.load("metric_loss", "thing") is mv.Triplet
        return
    with pytest.raises(mv.PluginError) as caught:
        registry.load("metric_loss", "thing")
    words = ["needy-dist 1.5 needs multimodal-vae", refused, f"{mv.__version__} is installed", "pip install --upgrade"]
    assert all(word in str(caught.value) for word in words), caught.value
    assert "needy_part" not in sys.modules


ENDS = [
    ("raise SystemExit(0)", "SystemExit: 0"),
    ("import sys\nsys.exit('enough')", "SystemExit: enough"),
    ("class Panic(BaseException): pass\nraise Panic('one\\ntwo')", "Panic: one two"),
    ("def (:", "SyntaxError"),
    ("raise RecursionError", "RecursionError"),
    ("\x00", "null bytes"),
]


@pytest.mark.parametrize(("text", "words"), ENDS)
def test_an_import_that_ends_the_process_does_not(install, text, words):
    install("ending-dist", "[multimodal_vae.samplers]\nending = ending_part:Thing\n", {"ending_part": text})
    sys.modules.pop("ending_part", None)
    with pytest.raises(mv.PluginError) as caught:
        registry.load("sampler", "ending")
    assert all(word in str(caught.value) for word in ["ending-dist 1.0", "ending_part", words])
    assert "\n" not in str(caught.value)


def test_a_constructor_that_ends_the_process_does_not():
    class Leaving(Quiet):
        def __init__(self) -> None:
            raise SystemExit

    mv.register(Leaving)
    with pytest.raises(mv.PluginError, match=r"'leaving' of this session could not be constructed by .*: SystemExit"):
        mv.MetricLoss.of("leaving")


def test_a_users_interruption_is_none_of_a_plugins(install, monkeypatch):
    install("a-dist", "[multimodal_vae.samplers]\nheld = held_part:Thing\n", {"held_part": "raise KeyboardInterrupt"})
    sys.modules.pop("held_part", None)
    with pytest.raises(KeyboardInterrupt):
        registry.load("sampler", "held")


LOSS = """
from multimodal_vae import MetricLoss
class Thing(MetricLoss):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
    def forward(self, latents, labels):
        return latents.mean()
"""


@pytest.fixture
def typed():
    """Put a line on standard input, which a plugin must not read."""
    reading, writing = os.pipe()
    os.write(writing, b"yes\n")
    os.close(writing)
    kept = os.dup(0)
    os.dup2(reading, 0)
    yield
    os.dup2(kept, 0)
    os.close(kept)
    os.close(reading)


NOISY = """
import atexit, sys
print("Error: nothing", flush=True)
print("Error: no", file=sys.stderr)
assert not sys.stdin.read()
atexit.register(lambda: 1 / 0)
"""


# What a module holds, and what is said of it.
TRIED = [
    (LOSS.replace("float = 1.0", "float"), "^works$"),  # its setting has no default, so it is not constructed
    (NOISY + LOSS, "^works$"),
    ("from multimodal_vae import Triplet as Thing", "^works$"),
    ("import multimodal_vae as mv\nmv.MetricLoss.of = None\n" + LOSS, "TypeError"),  # of this part, and no other
    ("import os\nos._exit(0)", r"^ended the process \(0\)$"),
    ("import os, sys\nprint('no license', file=sys.stderr, flush=True)\nos._exit(4)", r"\(4\): no license$"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", r"^ended the process \(-9\)$"),
    ("import sys\nsys.exit()", "SystemExit"),
    ("Thing = 3", "is no metric_loss"),
    ("raise RuntimeError('one\\ntwo Error: three')", "thing_9: RuntimeError: one two Error: three$"),
    (
        LOSS.replace("super().__init__()", "raise OSError('no license')"),
        "could not be constructed by thing_10:Thing: OSErr",
    ),
    (LOSS.replace("float = 1.0", "'Unheard'"), "^NameError: .*Unheard"),
    (LOSS, "^works$"),
]


@pytest.mark.usefixtures("typed")
def test_a_check_hears_what_each_part_says_and_nothing_else(install, tmp_path, monkeypatch):
    for number, (text, _) in enumerate(TRIED):
        points = f"[multimodal_vae.metric_losses]\nthing-{number} = thing_{number}:Thing\n"
        install(f"dist-{number}", points, {f"thing_{number}": text})
    folders = [str(tmp_path / f"dist-{number}") for number in range(len(TRIED))]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    found = registry.states_of([entry_of("metric_loss", f"thing-{number}") for number in range(len(TRIED))])
    for said, (_, state) in zip(found, TRIED, strict=True):
        assert re.search(state, said), said
    assert not [name for name in sys.modules if name.startswith("thing_")]


def test_a_check_does_not_wait_for_what_a_part_leaves_running(install, tmp_path, monkeypatch):
    left = (
        "import pathlib, subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        f"pathlib.Path({str(tmp_path)!r}, 'left').write_text(str(left.pid))\n"
        "left.returncode = 0\n"  # or Python would warn about a running process
    )
    install("a-dist", "[multimodal_vae.metric_losses]\nthing = a_thing:Thing\n", {"a_thing": left + LOSS})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "a-dist"))
    assert registry.states_of([entry_of("metric_loss", "thing")]) == [registry.WORKS]
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)  # still running


def test_a_check_does_not_see_the_modules_of_the_folder_it_is_called_in(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise RuntimeError('not that one')")
    monkeypatch.chdir(tmp_path)
    assert registry.states_of([registry.find("metric_loss", "triplet")]) == [registry.WORKS]


def test_a_check_gives_up_after_a_while(install, tmp_path, monkeypatch):
    slow = {"slow_module": "import time\ntime.sleep(60)\n"}
    install("slow-dist", "[multimodal_vae.samplers]\none = slow_module:One\ntwo = slow_module:Two\n", slow)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "slow-dist"))
    monkeypatch.setattr(registry, "_TIMEOUT", 0.1)
    found = registry.states_of([registry.find("sampler", "one"), registry.find("sampler", "two")])
    assert found == ["has not finished importing after 0.1 s"] * 2


def test_what_may_not_load_is_not_checked(twins, monkeypatch):
    monkeypatch.setenv("MMVAE_PLUGINS", "one-dist")
    monkeypatch.setattr(registry.subprocess, "run", None)
    assert registry.states_of([registry.find("metric_loss", "other-dist:twin")]) == [registry.RESTRICTED]


def test_listing_is_done_in_one_thread_or_in_many(install):
    install("a-dist", "[multimodal_vae.samplers]\nthing = a_module:Thing\n")
    found: list[list[PartEntry]] = []
    threads = [threading.Thread(target=lambda: found.append(registry.entries())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [registry.entries()] * 4


def test_everything_works_behind_a_shield_beside_a_stranger_that_cannot_be_read(install, tmp_path):
    install("stranger", "[console_scripts]\nno equals sign\n")
    code = (
        "import importlib.metadata, warnings\n"
        "warnings.simplefilter('error')\n"
        "try: importlib.metadata.entry_points()\n"
        "except Exception: print('fails')\n"
        "from multimodal_vae import discovery\n"
        "discovery.shield()\n"
        "assert importlib.metadata.entry_points(group='console_scripts')\n"
        "print([each.distribution for each in discovery.unreadable_distributions()])\n"
        "import torch, multimodal_vae as mv\n"
        "print(tuple(mv.GMM().fit(torch.randn(20, 2))().sample((3,)).shape))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "stranger"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fails\n['stranger']\n(3, 2)\n"


def test_a_class_that_is_offered_by_the_package_around_it_knows_its_owner(install, tmp_path):
    package = tmp_path / "mild-dist" / "mild_package"
    install("mild-dist", "[multimodal_vae.metric_losses]\nmild = mild_package:Mild\n")
    package.mkdir()
    (package / "__init__.py").write_text("from mild_package.loss import Mild\n")
    (package / "loss.py").write_text("from multimodal_vae import Triplet\nclass Mild(Triplet): pass\n")
    import importlib

    mild = importlib.import_module("mild_package.loss").Mild  # not by its name
    assert mild().name == "mild"
    assert registry.entry_of(mild).release == "mild-dist 1.0"
