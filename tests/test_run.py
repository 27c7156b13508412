import json
import pickle
from importlib.metadata import version

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.part import plain
from multimodal_vae.run import train_run

PICKLE = pickle.dumps({"a": 1})


def figures(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(x, second[name]) for name, x in first.items())


def settings(configuration):
    return plain(dict(configuration))


def test_a_configuration_comes_back_from_its_own_toml_with_every_default(toml, tmp_path):
    configuration = mv.Configuration.read(toml)
    (tmp_path / "again.toml").write_text(configuration.to_toml(), "utf-8")
    again = mv.Configuration.read(tmp_path / "again.toml")
    assert settings(again) == settings(configuration)
    assert again.to_toml() == configuration.to_toml()
    text = configuration.to_toml()
    for default in (
        "learning_rate = 0.002",
        "margin = 0.2",
        "kl_weight = 1.0",
        "folds = 5",
        'reduction = "calibrated"',
    ):
        assert default in text


def test_a_configuration_that_sets_everything_comes_back(tmp_path, manifest):
    text = f"""
    [data]
    manifest = {json.dumps(str(manifest))}
    classes = ["well", "ill", 'a "b" \\ ü']
    split = "given"
    seed = 3
    [modalities."a.b"]
    name = "image"
    size = [12, 11]
    channels = 1
    width = 8
    network = "compact"
    loss = {{ssim = 0.5, bce = 1e-7}}
    [modalities.type]
    name = "categorical"
    categories = ["é", "1"]
    [model]
    fusion = {{name = "concat"}}
    metric_loss = {{name = "triplet", margin = 1.25, distance = "cosine"}}
    latent_dim = 7
    objective = {{weights = {{"a.b" = 3.5}}, metric_dimensions = 2, reduction = "sum", kl_weight = 0.0}}
    seed = 9
    [training]
    epochs = 3
    schedule = "cosine"
    warmup = 5
    learning_rate = 1e-3
    [density]
    sampler = {{name = "gmm", covariance = "full"}}
    fit_on = "validation"
    """
    (tmp_path / "a.toml").write_text(text, "utf-8")
    configuration = mv.Configuration.read(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text(configuration.to_toml(), "utf-8")
    assert settings(mv.Configuration.read(tmp_path / "b.toml")) == settings(configuration)
    assert configuration.model.metric_loss.margin == 1.25
    assert configuration.modalities["a.b"].loss == {"ssim": 0.5, "bce": 1e-7}


def test_a_manifest_is_looked_for_beside_its_configuration(toml, manifest, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert mv.Configuration.read(toml).data.manifest == manifest.resolve()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs = 2", "epoch = 2", ["[training]", "'epoch'", "did you mean 'epochs'"]),
        ("epochs = 2", 'epochs = "many"', ["training.epochs", "'many'"]),
        ("epochs = 2", "epochs = -1", ["training.epochs", "greater than 0", "-1"]),
        ("[training]", "[trianing]", ["'trianing'", "did you mean 'training'"]),
        ("split = [0.5, 0.17, 0.33]", "splits = [1, 0, 0]", ["[data]", "'splits'", "did you mean 'split'"]),
        ("split = [0.5, 0.17, 0.33]", "split = [0.5, 0.5]", ["data.split"]),
        ("split = [0.5, 0.17, 0.33]", 'split = "givn"', ["data.split", "given"]),
        ("latent_dim = 4", "objective = {kl_wieght = 1.0}", ["[model.objective]", "did you mean 'kl_weight'"]),
        ("latent_dim = 4", 'fusion = "concta"', ["did you mean 'concat'"]),
        ("latent_dim = 4", 'metric_loss = {name = "triplet", margn = 1}', ["'margn'", "did you mean 'margin'"]),
        ("hidden = 8", "hiden = 8", ["'vector'", "'hiden'", "did you mean 'hidden'"]),
        ('name = "vector"', 'name = "vektor"', ["'vektor'", "did you mean 'vector'"]),
        ('name = "vector"', "", ["name"]),
        ("[modalities.blood]", "[modalities.blood", ["TOML", "line"]),
    ],
)
def test_a_mistake_in_a_configuration_is_one_line_that_names_file_place_and_cure(toml, old, new, words):
    toml.write_text(toml.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(mv.MultimodalVAEError) as caught:
        mv.Configuration.read(toml)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in [str(toml), *words]), message


def test_there_is_no_configuration_or_it_has_no_modalities(tmp_path):
    with pytest.raises(mv.ConfigurationError, match="no configuration"):
        mv.Configuration.read(tmp_path / "none.toml")
    for text in ("", "[modalities]\n"):
        (tmp_path / "a.toml").write_text(text, "utf-8")
        with pytest.raises(mv.ConfigurationError, match="modalities"):
            mv.Configuration.read(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(mv.ConfigurationError, match="cannot be read as TOML"):
        mv.Configuration.read(tmp_path / "a.toml")


def test_a_run_leaves_what_the_documentation_says(trained):
    assert {path.name for path in trained.iterdir()} == {
        "config.toml", "environment.json", "log.jsonl", "timing.jsonl", "model.safetensors", "samplers", "split.json",
        "status.json",
    }  # fmt: skip
    assert json.loads((trained / "status.json").read_text("utf-8")) == {"state": "done", "epochs_done": 2, "epochs": 2}
    log = figures(trained / "log.jsonl")
    assert [line["epoch"] for line in log] == [1, 2]
    terms = ["loss", "reconstruction.photo", "reconstruction.blood", "kl", "metric"]
    assert list(log[0]) == ["step", "epoch", *(f"training.{t}" for t in terms), *(f"validation.{t}" for t in terms)]
    machine = [f"machine.{name}" for name in ("seconds", "threads", "memory_gib")]
    assert list(figures(trained / "timing.jsonl")[0]) == ["step", *machine]
    environment = json.loads((trained / "environment.json").read_text("utf-8"))
    assert [(part["kind"], part["name"]) for part in environment["parts"]] == [
        ("modality", "image"), ("modality", "vector"), ("fusion", "mvtcae"), ("metric_loss", "triplet"),
        ("logger", "jsonl"), ("logger", "console"), ("sampler", "kde"),
    ]  # fmt: skip
    assert environment["parts"][0] == {
        "kind": "modality", "name": "image", "path": "multimodal_vae.modalities.image.Image",
        "distribution": "multimodal-vae", "version": mv.__version__, "behavior_version": 1,
    }  # fmt: skip
    assert environment["data"]["train"]["patients"] + environment["data"]["test"]["patients"] < 12
    assert environment["distributions"]["torch"] == version("torch")


def test_an_opened_run_has_the_model_the_data_and_the_splits(trained):
    run = mv.open_run(trained)
    assert run.status["state"] == "done"
    assert run.configuration.training.epochs == 2
    assert not run.model.training
    assert [len(part) for part in run.splits.values()] == [12, 4, 8]
    assert len(run.data) == 24
    assert not set(run.splits["train"].patients) & set(run.splits["test"].patients)


def test_a_run_and_its_data_can_be_moved_together(trained, tmp_path):
    trained.parent.rename(tmp_path / "elsewhere")
    run = mv.open_run(tmp_path / "elsewhere" / "run")
    assert run.configuration.data.manifest == (tmp_path / "elsewhere" / "cohort" / "manifest.csv").resolve()
    assert len(run.splits["train"]) == 12


def test_a_run_behind_a_symbolic_link_finds_its_data(toml, tmp_path):
    (tmp_path / "a" / "deep" / "place").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "deep" / "place")
    train_run(mv.Configuration.read(toml), tmp_path / "link" / "run", show=False)
    assert len(mv.open_run(tmp_path / "link" / "run").data) == 24


def test_two_runs_of_one_configuration_are_the_same(toml, tmp_path):
    configuration = mv.Configuration.read(toml)
    for name in ("one", "two"):
        train_run(configuration, tmp_path / name, show=False)
    for name in ("model.safetensors", "log.jsonl", "split.json", "samplers/kde.safetensors", "config.toml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_densities_are_fitted_once_and_a_second_opening_draws_the_same(trained):
    path = trained / "samplers" / "gmm.safetensors"
    assert not path.exists()
    first = mv.open_run(trained).synthesizer("gmm").sample("ill", 5, seed=2)
    kept = path.read_bytes()
    # What is kept is read back, not fitted anew: the data need not be there.
    manifest = trained.parent / "cohort" / "manifest.csv"
    manifest.rename(manifest.with_suffix(".gone"))
    assert equal(mv.open_run(trained).synthesizer("gmm").sample("ill", 5, seed=2), first)
    assert path.read_bytes() == kept


def test_densities_are_fitted_anew_for_other_settings_or_samples(trained):
    run = mv.open_run(trained)
    run.synthesizer({"name": "kde", "bandwidth": 0.5})
    again = mv.open_run(trained).synthesizer({"name": "kde", "bandwidth": 2.0})
    assert float(again.densities["ill"].chosen) == 2.0
    assert run.synthesizer("kde", fit_on="test").fitted_on == {"ill": 4, "well": 4}
    assert run.synthesizer("kde").fitted_on == {"ill": 6, "well": 6}
    with pytest.raises(mv.RunError, match="no split 'tests'"):
        run.synthesizer(fit_on="tests")


def test_an_opened_model_is_the_one_that_was_trained(make_data, make_model, tmp_path):
    data = make_data()
    vae = mv.fit(make_model(data), data, data, epochs=2, per_class=4, device="cpu", show=False, out=tmp_path / "run")
    run = mv.open_run(tmp_path / "run", data)
    assert equal(vae.state_dict(), run.model.state_dict())
    assert equal(mv.Synthesizer(vae).fit(data).sample("ill", 4, 0), run.synthesizer().sample("ill", 4, 0))
    assert run.splits["train"].ids == data.ids
    assert len(run.splits["test"]) == 0
    with pytest.raises(mv.RunError, match="no test samples"):
        run.synthesizer(fit_on="test")


def test_a_run_on_data_in_memory_says_that_it_wants_the_data(make_data, make_model, tmp_path):
    data = make_data()
    mv.fit(make_model(data), data, epochs=1, per_class=4, device="cpu", show=False, out=tmp_path / "run")
    with pytest.raises(mv.RunError, match="data in memory"):
        mv.open_run(tmp_path / "run").synthesizer()


@pytest.mark.parametrize("change", ["value", "label", "gone", "patient"])
def test_data_that_has_changed_is_refused(trained, change):
    manifest = trained.parent / "cohort" / "manifest.csv"
    name = json.loads((trained / "split.json").read_text("utf-8"))["train"][0]
    lines = manifest.read_text("utf-8").splitlines()
    (index,) = [number for number, line in enumerate(lines) if line.startswith(f"{name},")]
    cells = lines[index].split(",")
    if change == "value":
        cells[4] = "9 9 9"
    elif change == "label":
        cells[2] = {"ill": "well", "well": "ill"}[cells[2]]
    elif change == "patient":
        cells[1] = "somebody"
    lines[index] = ",".join(cells)
    if change == "gone":
        del lines[index]
    manifest.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(mv.RunError, match="has changed") as caught:
        mv.open_run(trained).synthesizer("gmm")
    assert "\n" not in str(caught.value)


def test_changes_that_do_not_touch_the_samples_are_none(trained):
    manifest = trained.parent / "cohort" / "manifest.csv"
    header, *rows = manifest.read_text("utf-8").splitlines()
    manifest.write_text("\n".join([header, *reversed(rows)]).replace("here", "there") + "\n", "utf-8")
    assert mv.open_run(trained).synthesizer("gmm").fitted_on == {"ill": 6, "well": 6}


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", "half"),
        ("model.safetensors", b"garbage"),
        ("model.safetensors", b""),
        ("model.safetensors", PICKLE),
        ("model.safetensors", None),
        ("samplers/kde.safetensors", "half"),
        ("samplers/kde.safetensors", PICKLE),
        ("config.toml", "start"),
        ("config.toml", b"\xff\xfe"),
        ("config.toml", None),
        ("status.json", "start"),
        ("status.json", None),
        ("status.json", b"[]"),
        ("split.json", "start"),
        ("split.json", b"{}"),
        ("environment.json", "start"),
        ("environment.json", b"{}"),
    ],
)
def test_a_damaged_run_is_one_line_that_names_the_file(trained, name, damage):
    path = trained / name
    whole = path.read_bytes()
    path.write_bytes({"half": whole[: len(whole) // 2], "start": whole[:5]}.get(damage, damage or b""))
    if damage is None:
        path.unlink()

    def use():
        run = mv.open_run(trained)
        assert run.status["state"] == "done"
        run.synthesizer()
        run.synthesizer("gmm")

    with pytest.raises(mv.MultimodalVAEError) as caught:
        use()
    assert str(path) in str(caught.value) or name.split(".")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_fit_its_configuration_is_refused(trained):
    text = (trained / "config.toml").read_text("utf-8")
    (trained / "config.toml").write_text(text.replace("latent_dim = 4", "latent_dim = 5"), "utf-8")
    with pytest.raises(mv.RunError, match="does not match") as caught:
        _ = mv.open_run(trained).model
    assert "\n" not in str(caught.value)


def test_what_is_no_run_folder_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(mv.RunError, match="not a run folder"):
            mv.open_run(path)


def test_a_taken_place_is_refused_before_any_training(toml, tmp_path, make_data, make_model):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("kept", "utf-8")
    with pytest.raises(mv.RunError, match="already exists"):
        train_run(mv.Configuration.read(toml), tmp_path / "run", show=False)
    data = make_data()
    with pytest.raises(mv.RunError, match="already exists"):
        mv.fit(make_model(data), data, epochs=1, out=tmp_path / "run", show=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine"]


def test_a_place_that_cannot_be_made_is_refused(tmp_path, make_data, make_model):
    (tmp_path / "file").write_text("", "utf-8")
    data = make_data()
    with pytest.raises(mv.RunError, match="cannot be written"):
        mv.fit(make_model(data), data, epochs=1, out=tmp_path / "file" / "run", show=False)


def test_an_interruption_keeps_what_was_reached(tmp_path, make_data, make_model, monkeypatch):
    from multimodal_vae.training import loop

    evaluate, calls = loop.evaluate, []

    def interrupt(*arguments, **settings):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(*arguments, **settings)

    monkeypatch.setattr(loop, "evaluate", interrupt)
    data = make_data()
    vae = make_model(data)
    with pytest.raises(mv.TrainingInterrupted, match=r"after 2 of 9 epochs.*run"):
        mv.fit(vae, data, data, epochs=9, per_class=4, device="cpu", show=False, out=tmp_path / "run")
    run = mv.open_run(tmp_path / "run", data)
    assert run.status == {"state": "interrupted", "epochs_done": 2, "epochs": 9}
    assert equal(run.model.state_dict(), vae.state_dict())
    assert not vae.training
    assert run.synthesizer("gmm").sample("ill", 2)["blood"].isfinite().all()


def test_without_a_folder_nothing_is_written(tmp_path, make_data, make_model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = make_data()
    mv.fit(make_model(data), data, epochs=1, per_class=4, device="cpu", show=False)
    assert not list(tmp_path.iterdir())


def test_a_run_on_parts_made_by_hand_says_so_and_keeps_them(make_data, make_model, tmp_path):
    data = make_data()
    training, _, test = data.split(0.5, 0.0, 0.5, seed=3)
    vae = make_model(data, seed=7)
    mv.fit(vae, training, None, test, epochs=1, per_class=2, out=tmp_path / "run", show=False)
    run = mv.open_run(tmp_path / "run", data)
    assert (run.configuration.data.split, run.configuration.model.seed) == ("passed", 7)
    assert [run.splits[side].ids for side in ("train", "validation", "test")] == [training.ids, [], test.ids]
    with pytest.raises(mv.ConfigurationError, match=r"only in split\.json"):
        run.configuration.split(data)


def test_a_setting_beside_a_configuration_is_refused_not_ignored(make_data, make_model, toml):
    data = make_data()
    with pytest.raises(mv.ConfigurationError, match="'epochs' is given together with a configuration"):
        mv.fit(make_model(data), data, configuration=mv.Configuration.read(toml), epochs=1)
