"""A run opens with the code that trained it; otherwise an error says what is missing."""

import json
import re
import warnings

import pytest
from torch import Tensor
from torch.distributions import Distribution

import multimodal_vae as mv
from multimodal_vae import provenance, registry
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.registry import PartEntry


class Quiet(mv.MetricLoss):
    """A class of this session."""

    def __init__(self, factor: float = 0.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.factor * latents.sum()


class Cloud(mv.GMM):
    """A sampler of this session."""


class Around(mv.DensitySampler):
    """A sampler with a nested one."""

    def __init__(self, inner: mv.DensitySampler = "gmm", others: list[mv.DensitySampler] = ()) -> None:  # type: ignore[assignment]
        super().__init__()
        self.inner = inner

    def fit(self, latents: Tensor) -> "Around":
        self.inner.fit(latents)
        return self

    def forward(self) -> Distribution:
        return self.inner()


@pytest.fixture(autouse=True)
def _clean():
    def clean():
        registry._registered.clear()
        registry._preferred.clear()
        provenance._warned.clear()
        registry.refresh()

    clean()
    yield
    clean()


@pytest.fixture
def leave_run(make_data, make_model, tmp_path):
    """Train a run for one epoch with a metric loss."""

    def leave(loss, name="run"):
        data = make_data()
        vae = make_model(data, metric_loss=loss)
        mv.fit(vae, data, epochs=1, per_class=4, device="cpu", show=False, out=tmp_path / name)
        return tmp_path / name, data

    return leave


@pytest.fixture
def installed(monkeypatch):
    """Set the parts that are installed beside the core."""
    core = registry.discover()

    def tell(*entries):
        monkeypatch.setattr(registry, "discover", lambda: (*core, *entries))

    return tell


def entry(name="quiet", distribution="my-dist", version="1.0", part=Quiet):
    return PartEntry(part.kind, name, part.__module__, part.__qualname__, distribution, version)


def change(run, kind="metric_loss", **facts):
    """Change a run's record of its parts."""
    path = run / "environment.json"
    environment = json.loads(path.read_text("utf-8"))
    for part in environment["parts"]:
        if kind in (None, part["kind"]):
            part.update(facts)
    path.write_text(json.dumps(environment), "utf-8")


def change_density(path, **facts):
    tensors, metadata = read_tensors(path)
    told = json.loads(metadata["synthesizer"])
    told["parts"] = [part | facts for part in told["parts"]] if facts.get("parts") is None else facts["parts"]
    write_tensors(path, tensors, {"synthesizer": json.dumps(told)})


def refused(error, *words):
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_a_class_of_another_session_is_named_and_how_to_pass_it(leave_run):
    run, _ = leave_run(Quiet())
    with pytest.raises(mv.PluginError) as caught:
        mv.open_run(run)
    refused(caught, f"the run {run}", f"{__name__}.Quiet", "open_run(..., parts=[Quiet])")


def test_a_class_that_is_passed_opens_its_run(leave_run):
    run, _ = leave_run(Quiet(factor=0.5))
    loss = mv.open_run(run, parts=[Quiet]).model.metric_loss
    assert type(loss) is Quiet
    assert loss.factor == 0.5
    assert mv.open_run(run).model.metric_loss.factor == 0.5  # also later in the session


def test_a_class_that_is_registered_beforehand_opens_its_run(leave_run):
    run, _ = leave_run(Quiet())
    mv.register(Quiet)
    assert type(mv.open_run(run).model.metric_loss) is Quiet


@pytest.mark.parametrize("again", [False, True])
def test_a_class_that_bore_another_name_opens_its_run(leave_run, again):
    mv.register(Quiet, "hush")
    run, _ = leave_run("hush")
    registry._registered.clear()
    with pytest.raises(mv.PluginError, match=re.escape("open_run(..., parts=[Quiet])")):
        mv.open_run(run)
    if again:
        mv.register(Quiet)  # under another name than the run's
    opened = mv.open_run(run, parts=[Quiet])
    assert type(opened.model.metric_loss) is Quiet
    losses = [part["name"] for part in opened.environment["parts"] if part["kind"] == "metric_loss"]
    assert losses == ["hush"]


@pytest.mark.parametrize("passed", [mv.Triplet, Cloud, 3, "quiet"])
def test_what_the_run_did_not_use_is_refused(leave_run, passed):
    run, _ = leave_run(Quiet())
    with pytest.raises(mv.PluginError, match=r"(?i)used no class .*there are: .*Quiet"):
        mv.open_run(run, parts=[passed])


def test_of_two_classes_of_one_name_each_is_known_by_its_module(leave_run, make_data, make_model, tmp_path):
    namesake = type("Quiet", (Quiet,), {"__module__": "elsewhere", "__qualname__": "Quiet", "other": True})
    recorded = provenance.records([Quiet(), namesake()])
    provenance.register_classes([namesake, Quiet], recorded, "it")
    assert [registry.load("metric_loss", each["name"]) for each in recorded] == [Quiet, namesake]


def test_a_sampler_of_the_session_is_kept_and_comes_back_where_it_is_passed(make_data, make_model, tmp_path):
    data = make_data()
    configuration = mv.Configuration(
        data={"split": "passed", "classes": data.classes},
        modalities=data.modalities,
        model={"latent_dim": 3},
        training={"epochs": 1, "per_class": 4, "device": "cpu"},
        density={"sampler": Cloud(seed=5)},
    )
    run = tmp_path / "run"
    mv.fit(make_model(data), data, configuration=configuration, show=False, out=run)
    with pytest.raises(mv.PluginError, match=re.escape("open_run(..., parts=[Cloud])")):
        mv.open_run(run, data)
    drawn = mv.open_run(run, data, parts=[Cloud]).synthesizer().sample("ill", 3, seed=0)
    (path,) = (run / "samplers").iterdir()
    kept = path.read_bytes()
    registry._registered.clear()
    again = mv.open_run(run, parts=[Cloud]).synthesizer()  # without data, so it was not fitted again
    assert (type(again.sampler), again.sampler.seed) == (Cloud, 5)
    assert (again.sample("ill", 3, seed=0)["blood"] == drawn["blood"]).all()
    assert path.read_bytes() == kept


def test_a_sampler_that_is_handed_over_again_needs_no_registration(leave_run):
    run, data = leave_run("triplet")
    drawn = mv.open_run(run, data).synthesizer(Cloud()).sample("ill", 3, seed=0)
    registry._registered.clear()  # as in another session
    again = mv.open_run(run).synthesizer(Cloud())  # without data, so it was not fitted again
    assert (again.sample("ill", 3, seed=0)["blood"] == drawn["blood"]).all()


def test_the_density_of_a_class_that_nobody_registered_names_it(leave_run, make_model, tmp_path):
    run, data = leave_run("triplet")
    vae = mv.open_run(run, data).model
    mv.Synthesizer(vae, Cloud()).fit(data).save(tmp_path / "cloud.safetensors")
    with pytest.raises(mv.PluginError) as caught:
        mv.Synthesizer.load(tmp_path / "cloud.safetensors", vae)
    refused(caught, str(tmp_path / "cloud.safetensors"), f"{__name__}.Cloud", "parts=[Cloud]")
    mv.register(Cloud)
    assert type(mv.Synthesizer.load(tmp_path / "cloud.safetensors", vae).sampler) is Cloud


def test_a_class_of_a_session_is_not_taken_for_an_installed_one_of_its_name(leave_run, installed):
    mv.register(Quiet, "triplet")
    run, _ = leave_run("triplet")
    registry._registered.clear()
    with pytest.raises(mv.RunError) as caught:
        mv.open_run(run)
    refused(caught, "'triplet' of its session", "is of multimodal-vae", "parts=[Quiet]")
    assert type(mv.open_run(run, parts=[Quiet]).model.metric_loss) is Quiet
    registry._registered.clear()
    installed(entry())  # as if published meanwhile
    assert type(mv.open_run(run, parts=[Quiet]).model.metric_loss) is Quiet


def test_another_version_is_warned_once_for_each_distribution(leave_run, installed):
    installed(entry())
    mv.register(Quiet)
    run, data = leave_run("quiet")
    mv.open_run(run, data).synthesizer("kde")
    change(run, None, version="0.0.1")
    change(run, version="0.9")
    change_density(run / "samplers" / "kde.safetensors", version="0.0.1")
    with pytest.warns(mv.MultimodalVAEWarning) as caught:
        mv.open_run(run, data).synthesizer("kde")
    said = [str(warning.message) for warning in caught]
    assert len(said) == 2
    assert all(str(run) in message for message in said)
    assert f"multimodal-vae 0.0.1, but {mv.__version__} is installed" in said[0]
    assert "my-dist 0.9, but 1.0 is installed" in said[1]


def test_the_same_version_is_not_warned(leave_run, installed):
    installed(entry())
    mv.register(Quiet)
    run, _ = leave_run("quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mv.open_run(run)


def test_a_class_in_place_of_an_installed_one_is_warned(leave_run, installed):
    installed(entry())
    mv.register(Quiet)
    run, _ = leave_run("quiet")
    installed()
    with pytest.warns(mv.MultimodalVAEWarning, match=r"my-dist 1\.0, but a class was passed"):
        mv.open_run(run, parts=[Quiet])


def test_the_command_line_mentions_another_version_in_one_line(trained, mmvae, tmp_path):
    change(trained, None, version="0.0.1")
    change_density(trained / "samplers" / "kde.safetensors", version="0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status, _, err = mmvae("sample", trained, "--count", 1, "--out", tmp_path / "new")
    assert status == 0
    assert len(err.splitlines()) == 1
    assert err.startswith(f"mmvae: note: the run {trained} was trained with multimodal-vae 0.0.1")


def test_another_behavior_refuses_to_open(leave_run, installed, monkeypatch):
    installed(entry())
    mv.register(Quiet)
    run, _ = leave_run("quiet")
    monkeypatch.setattr(Quiet, "behavior_version", 2)
    with pytest.raises(mv.RunError) as caught:
        mv.open_run(run)
    refused(caught, "behavior_version 1", "has behavior_version 2", "pip install my-dist==1.0")


def test_another_behavior_of_a_class_of_the_session_says_to_train_anew(leave_run, monkeypatch):
    run, _ = leave_run(Quiet())
    monkeypatch.setattr(Quiet, "behavior_version", 2)
    with pytest.raises(mv.RunError, match=r"behavior_version 1.*has behavior_version 2.*train the run again"):
        mv.open_run(run, parts=[Quiet])


def test_another_distribution_under_the_name_is_refused(trained):
    change(trained, distribution="my-dist", version="1.0")
    with pytest.raises(mv.RunError) as caught:
        mv.open_run(trained)
    refused(caught, "'triplet' of my-dist 1.0", f"is of multimodal-vae {mv.__version__}")


def test_a_distribution_that_is_not_installed_is_named_with_its_version(leave_run):
    run, _ = leave_run(Quiet())
    change(run, name="quiet", distribution="my-dist", version="1.5")
    with pytest.raises(mv.PluginError) as caught:
        mv.open_run(run)
    refused(caught, "'quiet' of my-dist 1.5", "not installed", "pip install my-dist==1.5")


def test_a_distribution_that_offers_the_part_no_more_is_named_with_the_version_that_did(trained):
    change(trained, name="tripelt", version="0.0.1")
    with pytest.raises(mv.PluginError) as caught:
        mv.open_run(trained)
    refused(caught, f"multimodal-vae {mv.__version__} has no such part", "pip install multimodal-vae==0.0.1")


def test_a_second_owner_of_the_name_does_not_keep_a_run_from_opening(leave_run, installed):
    """From then on, the plain name means the run's part."""
    run, data = leave_run("triplet")
    drawn = mv.open_run(run, data).synthesizer("gmm").sample("ill", 3, seed=0)
    twin, gmm = entry("triplet", "twin-dist"), entry("gmm", "twin-dist", part=Cloud)
    installed(twin, gmm)
    assert (mv.open_run(run).synthesizer("gmm").sample("ill", 3, seed=0)["blood"] == drawn["blood"]).all()


@pytest.mark.parametrize("owner", ["one-dist", "two-dist"])
def test_each_of_two_owners_opens_its_own_run(leave_run, installed, owner):
    class Other(Quiet):
        """The part of the other distribution."""

    mv.register(Quiet)
    run, _ = leave_run("quiet")
    change(run, distribution=owner, version="1.0", path="any.path.Quiet")
    registry._registered.clear()
    entries = entry(distribution="one-dist"), entry(distribution="two-dist", part=Other)
    installed(*entries)
    classes = {"one-dist": Quiet, "two-dist": Other}

    def load(kind, name):
        found = registry.find(kind, name)
        return classes[found.distribution] if found.distribution in classes else original(kind, name)

    original = registry.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "load", load)
        opened = mv.open_run(run)
        assert type(opened.model.metric_loss) is classes[owner]
        assert opened.model.metric_loss.name == "quiet"
    registry._preferred.clear()
    with pytest.raises(mv.PluginError, match="one-dist and two-dist"):
        mv.MetricLoss.of("quiet")


def test_a_plain_name_that_the_core_took_since_means_what_the_run_meant(installed):
    installed(entry("triplet"))
    registry.prefer("metric_loss", "triplet", "my-dist")
    assert registry.find("metric_loss", "triplet").distribution == "my-dist"
    registry._preferred.clear()
    assert registry.find("metric_loss", "triplet").distribution == "multimodal-vae"
    registry.prefer("metric_loss", "triplet", "gone-dist")
    assert registry.find("metric_loss", "triplet").distribution == "multimodal-vae"


def test_parts_within_parts_are_recorded_once_each_with_their_owner():
    recorded = provenance.records(Around(inner=Cloud(), others=["kde", {"name": "kde", "folds": 3}, Around()]))
    assert [(each["name"].rpartition(".")[2], each["distribution"]) for each in recorded] == [
        ("Around", None), ("Cloud", None), ("kde", "multimodal-vae"), ("gmm", "multimodal-vae"),
    ]  # fmt: skip


def test_a_part_within_a_part_is_required(leave_run, tmp_path):
    run, data = leave_run("triplet")
    vae = mv.open_run(run, data).model
    mv.Synthesizer(vae, Around(inner=Cloud())).fit(data).save(tmp_path / "a.safetensors")
    mv.register(Around)
    with pytest.raises(mv.PluginError, match=re.escape("parts=[Cloud]")):
        mv.Synthesizer.load(tmp_path / "a.safetensors", vae)


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        ({"behavior_version": 7}, mv.RunError, "behavior_version 7"),
        ({"distribution": "my-dist"}, mv.RunError, "'kde' of my-dist"),
        ({"name": "kdf", "distribution": "my-dist", "version": "2"}, mv.PluginError, "pip install my-dist==2"),
        ({"parts": [{}]}, mv.RunError, "damaged"),
        ({"parts": [3]}, mv.RunError, "damaged"),
    ],
)
def test_a_density_is_compared_as_well(trained, facts, error, words):
    path = trained / "samplers" / "kde.safetensors"
    change_density(path, **facts)
    with pytest.raises(error, match=words) as caught:
        mv.open_run(trained).synthesizer()
    refused(caught, str(path))
