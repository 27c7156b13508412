import copy
import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.part import Part
from multimodal_vae.training.settings import RefinementTraining, Training

# Settings other than the defaults for each part of the core.
PARTS: dict[tuple[str, str], dict[str, Any]] = {
    ("modality", "image"): {
        "size": [12, 11],
        "channels": 1,
        "width": 8,
        "network": "compact",
        "loss": {"ssim": 0.5, "bce": 2.0},
    },
    ("modality", "signal"): {"length": 20, "channels": 2, "width": 8},
    ("modality", "vector"): {"size": 3, "hidden": 5, "cell": "path"},
    ("modality", "table"): {"columns": {"age": {"type": "positive", "decimals": 1, "unit": "years"}}, "hidden": 5},
    ("modality", "volume"): {"size": [8, 8, 8], "channels": 2, "width": 8, "loss": {"bce": 2.0}},
    ("modality", "counts"): {"size": 3, "distribution": "presence", "hidden": 5, "cell": "path"},
    ("modality", "categorical"): {"categories": ["left", "right"], "hidden": 7},
    ("fusion", "concat"): {"dropout": 0.25},
    ("fusion", "poe"): {"random_subsets": 2},
    ("fusion", "moe"): {"kl": "sampled"},
    ("fusion", "mopoe"): {"draws": 3, "kl": "sampled", "prior": True},
    ("fusion", "mvtcae"): {"alpha": 0.5},
    ("fusion", "jmvae"): {"alpha": 0.2},
    ("fusion", "mmvaeplus"): {"private": 4, "kl": "sampled"},
    ("metric_loss", "triplet"): {"margin": 1.5, "distance": "cosine", "mining": "hard"},
    ("metric_loss", "supcon"): {"temperature": 0.5},
    ("metric_loss", "proxy_anchor"): {"margin": 0.2, "scale": 16.0},
    ("metric_loss", "center"): {},
    ("metric_loss", "pytorch_metric_learning"): {
        "loss": {"name": "TripletMarginLoss", "margin": 0.1, "distance": "LpDistance"},
        "miner": "MultiSimilarityMiner",
    },
    ("sampler", "auto"): {
        "candidates": [{"name": "prior"}, {"name": "gaussian", "shrinkage": 0.5}],
        "folds": 2,
        "seed": 4,
    },
    ("sampler", "kde"): {"bandwidths": [0.5, 1.0], "folds": 3},
    ("sampler", "gaussian"): {"shrinkage": 0.5},
    ("sampler", "flow"): {"transform": "affine", "transforms": 2, "hidden": [8], "epochs": 5},
    ("sampler", "prior"): {},
    ("sampler", "private_gaussian"): {"epsilon": 2.0, "delta": 1e-6, "clip": 0.8, "dimensions": 4},
    ("sampler", "interpolation"): {"neighbors": 3, "width": 0.2},
    ("refiner", "rectified_flow"): {"width": 8, "pool": 2, "noise": 0.5, "integration_steps": 3},
    ("logger", "jsonl"): {},
    ("logger", "console"): {},
    ("logger", "tensorboard"): {},
    ("sampler", "gmm"): {"components": 2, "covariance": "full", "regularization": 0.01, "seed": 4},
}
BASES: dict[str, Any] = {
    "modality": mv.Modality,
    "fusion": mv.Fusion,
    "metric_loss": mv.MetricLoss,
    "sampler": mv.DensitySampler,
    "refiner": mv.Refiner,
    "logger": mv.Logger,
}
each_part = pytest.mark.parametrize(("kind", "name"), PARTS)


class Nested(MetricLoss):
    """A part with nested parts, like an adapter or a weighted sum."""

    def __init__(self, inner: MetricLoss = "triplet", others: Sequence[MetricLoss] = ()) -> None:  # type: ignore[assignment]
        super().__init__()
        self.inner = MetricLoss.of(inner)
        self.others = nn.ModuleList(MetricLoss.of(other) for other in others)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.inner(latents, labels)


class Choosy(MetricLoss):
    def __init__(
        self,
        weights: dict[str, PositiveFloat],
        scale: Annotated[float, Field(ge=1)] = 2.0,
        note: str | None = None,
    ) -> None:
        super().__init__()
        self.weights, self.scale, self.note = weights, scale, note

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return latents.sum() * self.scale


def test_every_registered_core_part_is_under_these_laws():
    core = {(entry.kind, entry.name) for entry in registry.entries() if entry.distribution == "multimodal-vae"}
    assert core == set(PARTS)


@each_part
def test_configuration_makes_the_same_part_anew(kind, name):
    part = BASES[kind].of({"name": name, **PARTS[kind, name]})
    again = BASES[kind].of(part.configuration)
    assert type(again) is type(part)
    assert again.configuration == part.configuration
    assert part.configuration["name"] == name
    assert part.configuration.items() >= PARTS[kind, name].items()


@each_part
def test_configuration_holds_every_default(kind, name):
    required = {
        "image": {"size": [8, 8]},
        "signal": {"length": 8},
        "vector": {"size": 2},
        "counts": {"size": 2},
        "private_gaussian": {"epsilon": 2.0},
        "table": {"columns": {"age": {"type": "count"}}},
        "volume": {"size": [8, 8, 8]},
        "categorical": {"categories": ["a", "b"]},
        "pytorch_metric_learning": {"loss": "NCALoss"},
    }.get(name, {})
    short = BASES[kind].of({"name": name, **required}).configuration
    from_class = type(BASES[kind].of({"name": name, **required}))(**required).configuration
    assert short == from_class
    settings = PARTS[kind, name].keys() - {"bandwidths", "miner", "regularization", "shrinkage"}  # None, so left out
    assert settings <= short.keys()


@each_part
def test_an_instance_is_copied_not_shared(kind, name):
    part = BASES[kind].of({"name": name, **PARTS[kind, name]})
    copied = BASES[kind].of(part)
    assert copied is not part
    assert copied.configuration == part.configuration
    copied.mark = 1
    assert not hasattr(part, "mark")


@each_part
def test_an_unknown_key_is_refused_by_name(kind, name):
    with pytest.raises(mv.ConfigurationError, match=f"{kind} '{name}' has no setting 'nonsense'"):
        BASES[kind].of({"name": name, **PARTS[kind, name], "nonsense": 1})


@each_part
def test_too_many_positions_are_refused(kind, name):
    with pytest.raises(mv.ConfigurationError, match="settings, not 20"):
        type(BASES[kind].of({"name": name, **PARTS[kind, name]}))(*range(20))


@each_part
def test_repr_names_every_setting(kind, name):
    part = BASES[kind].of({"name": name, **PARTS[kind, name]})
    assert all(f"{key}=" in repr(part) for key in PARTS[kind, name])


def test_a_misspelt_key_is_answered_with_the_near_one():
    with pytest.raises(mv.ConfigurationError, match="did you mean 'margin'"):
        mv.Triplet(margn=1.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mv.Triplet(margin="wide"), ["'triplet'", "'margin'", "number", "'wide'"]),
        (lambda: mv.Triplet(margin=-1.0), ["'margin'", "greater than 0", "-1.0"]),
        (lambda: mv.Triplet(distance="taxi"), ["'distance'", "'euclidean'", "'taxi'"]),
        (lambda: mv.Triplet(mining="easy"), ["'mining'", "'semi-hard'", "'easy'"]),
        (lambda: mv.SupCon(temperature=0), ["'supcon'", "'temperature'", "greater than 0"]),
        (lambda: mv.ProxyAnchor(scale=-1), ["'proxy_anchor'", "'scale'", "greater than 0"]),
        (lambda: mv.Image(size=(8, 8), channels=2), ["'image'", "'channels'", "not 2"]),
        (lambda: mv.Image(size=(8,)), ["'size'"]),
        (lambda: mv.Image(size=(8, 8), loss={"bse": 1.0}), ["'loss'", "bse"]),
        (lambda: mv.Image(size=(8, 8), loss={}), ["'loss'", "at least 1"]),
        (lambda: mv.Image(size=(8, 8), loss={"ssim": 1.0}), ["at least 11 pixels", "8 x 8"]),
        (mv.Image, ["'image'", "needs", "'size'"]),
        (lambda: mv.Categorical(categories=["one"]), ["'categories'", "at least 2"]),
        (lambda: mv.Categorical(categories=["a", "a"]), ["not unique"]),
        (lambda: mv.Image(size=(8, 8), width=3), ["'width'", "greater than or equal to 4"]),
        (lambda: mv.Signal(length=8, width=3), ["'width'", "greater than or equal to 4"]),
        (lambda: mv.KDE(folds=1), ["'folds'"]),
        (lambda: mv.Triplet(0.2, margin=0.3), ["'margin'", "twice"]),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_part_key_and_value(make, words):
    with pytest.raises(mv.ConfigurationError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_settings_may_be_given_by_position():
    table = {"name": "triplet", "margin": 0.5, "distance": "squared", "mining": "semi-hard"}
    assert mv.Triplet(0.5, "squared").configuration == table


def test_settings_are_checked_and_converted_whatever_the_door():
    assert mv.Image([8, 9], 1).size == (8, 9)
    assert mv.Modality.of({"name": "image", "size": [8, 9]}).configuration["size"] == [8, 9]


@pytest.mark.parametrize("spec", [3, None, {"margin": 1.0}, {"name": 3}, mv.Vector(size=1), ["triplet"]])
def test_what_is_no_instance_name_or_table_of_the_kind_is_refused(spec):
    with pytest.raises(mv.ConfigurationError, match="an instance, a name or a table"):
        mv.MetricLoss.of(spec)


@pytest.mark.parametrize("inner", [mv.Triplet(margin=0.7), {"name": "triplet", "margin": 0.7}])
def test_a_nested_part_may_be_an_instance_or_a_table(inner):
    part = Nested(inner=inner, others=["triplet", inner])
    assert part.inner.margin == 0.7
    assert [other.margin for other in part.others] == [0.2, 0.7]
    table = part.configuration
    assert table["inner"] == {"name": "triplet", "margin": 0.7, "distance": "euclidean", "mining": "semi-hard"}
    assert [other["margin"] for other in table["others"]] == [0.2, 0.7]
    registry.register(Nested)
    try:
        assert mv.MetricLoss.of({**table, "name": "nested"}).configuration == {**table, "name": "nested"}
    finally:
        registry._registered.clear()


def test_a_nested_part_may_be_a_name_and_a_default():
    assert Nested().inner.configuration == mv.Triplet().configuration


def test_an_error_in_a_nested_part_names_the_nested_part():
    with pytest.raises(mv.ConfigurationError, match="'triplet' has no setting 'margn'"):
        Nested(inner={"name": "triplet", "margn": 1.0})


def test_none_is_a_key_left_out():
    part = Choosy(weights={"a": 1.0})
    assert "note" not in part.configuration
    assert "bandwidth" not in mv.KDE().configuration


def test_changing_what_was_passed_does_not_change_the_part():
    weights = {"bce": 1.0}
    image = mv.Image(size=(8, 8), loss=weights)
    weights["l1"] = 5.0
    assert image.loss == {"bce": 1.0}
    categories = ["a", "b"]
    part = mv.Categorical(categories=categories)
    categories.append("c")
    assert part.configuration["categories"] == ["a", "b"]


def test_two_parts_never_share_a_mutable_default():
    first, second = mv.Image(size=(8, 8)), mv.Image(size=(8, 8))
    first.loss["l1"] = 1.0
    assert second.loss == {"bce": 1.0}


def test_a_setting_may_have_any_name():
    class Odd(MetricLoss):
        def __init__(self, copy: int = 1, json: str = "", model_config: float = 2.0, _hidden: bool = True) -> None:
            super().__init__()

        def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
            return latents.sum()

    assert list(Odd(copy="3")._settings.items()) == [
        ("copy", 3), ("json", ""), ("model_config", 2.0), ("_hidden", True),
    ]  # fmt: skip


def test_an_author_must_annotate_and_name_each_setting():
    with pytest.raises(TypeError, match=r"Loose.__init__ must annotate 'margin'"):

        class Loose(MetricLoss):
            def __init__(self, margin=1.0):
                super().__init__()

    with pytest.raises(TypeError, match=r"Open.__init__ must name each of its settings: it has \*\*settings"):

        class Open(mv.Triplet):
            def __init__(self, **settings: float):
                super().__init__()


def test_a_method_must_take_what_its_base_is_called_with():
    with pytest.raises(TypeError, match=r"Deaf.forward must take \(self, latents, labels\)"):

        class Deaf(MetricLoss):
            def forward(self, latents):
                return latents.sum()

    with pytest.raises(TypeError, match=r"Greedy.read must take \(self, cell\)"):

        class Greedy(mv.Vector):
            def read(self, cell, more):
                return super().read(cell)

    with pytest.raises(TypeError, match=r"Called.shape must be a property"):

        class Called(mv.Vector):
            def shape(self):
                return (3,)


def test_a_method_may_take_more_if_it_has_a_default_and_a_class_may_fix_a_property():
    class Fine(mv.Vector):
        shape = (3,)

        def read(self, cell, separator=" "):
            return super().read(cell)

    assert Fine(size=3).shape == (3,)


def test_a_constructor_that_fails_names_its_owner(monkeypatch):
    class Failing(MetricLoss):
        def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
            return latents.sum()

        def __init__(self) -> None:
            raise RuntimeError("no license")

    monkeypatch.setattr(registry, "_registered", {})
    mv.register(Failing)
    with pytest.raises(
        mv.PluginError, match=r"'failing' of this session could not be constructed.*RuntimeError: no license"
    ):
        mv.MetricLoss.of("failing")


def test_a_class_in_place_of_a_part_is_told_from_an_instance():
    with pytest.raises(mv.ConfigurationError, match=r"instance.*write Triplet\(...\)"):
        mv.MetricLoss.of(mv.Triplet)


def test_a_subclass_without_a_constructor_takes_its_parents_settings():
    class Wider(mv.Triplet):
        pass

    part = Wider(margin=3.0)
    assert part.margin == 3.0
    assert part.configuration["margin"] == 3.0
    with pytest.raises(mv.ConfigurationError, match="no setting"):
        Wider(margn=3.0)


def test_a_constructor_that_calls_its_parents_keeps_its_own_settings():
    class Fixed(mv.Triplet):
        def __init__(self, factor: float = 2.0) -> None:
            super().__init__(margin=0.1 * factor)

    part = Fixed(factor=5.0)
    assert {key: value for key, value in part.configuration.items() if key != "name"} == {"factor": 5.0}
    assert part.margin == 0.5


def test_parts_survive_deep_copies_with_their_weights():
    fusion = mv.Concat()
    fusion.build({"a": 3}, 2)
    copied = copy.deepcopy(fusion)
    assert copied.configuration == fusion.configuration
    with torch.no_grad():
        copied.mean.weight.zero_()
    assert fusion.mean.weight.abs().sum() > 0


@pytest.mark.parametrize("thing", [dict, mv.Triplet], ids=["class", "kind"])
def test_what_is_registered_but_is_no_class_of_the_kind_is_refused(monkeypatch, thing):
    monkeypatch.setattr(registry, "load", lambda *_: thing)
    with pytest.raises(mv.MultimodalVAEError, match="'odd'"):
        mv.Fusion.of("odd")


def test_part_is_public():
    assert issubclass(mv.Modality, Part)
    assert mv.Part is Part


@pytest.mark.parametrize("entry", registry.entries("sampler"), ids=lambda entry: entry.name)
def test_the_signature_of_a_part_is_that_of_its_constructor(entry):
    part = registry.load(entry.kind, entry.name)
    signature = inspect.signature(part)
    assert list(signature.parameters) == list(part.of({"name": entry.name, **REQUIRED.get(entry.name, {})})._settings)
    assert not any("Annotated" in str(each) for each in signature.parameters.values())


REQUIRED = {"private_gaussian": {"epsilon": 1.0}}


def test_the_signature_of_a_part_without_settings_is_empty_and_has_defaults_otherwise():
    assert not inspect.signature(mv.Prior).parameters
    folds = inspect.signature(mv.KDE).parameters["folds"]
    assert (folds.annotation, folds.default) == (int, 5)


@pytest.mark.parametrize(("train", "settings"), [(mv.fit, Training), (mv.fit_refiner, RefinementTraining)])
def test_the_signature_of_a_training_lists_its_settings(train, settings):
    parameters = inspect.signature(train).parameters
    assert list(parameters)[-len(settings.model_fields) :] == list(settings.model_fields)
    assert not any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    defaults = {name: parameters[name].default for name in settings.model_fields if name != "loggers"}
    assert defaults == {name: getattr(settings(), name) for name in defaults}
