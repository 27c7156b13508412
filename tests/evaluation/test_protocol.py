import math
import pkgutil
import subprocess
import sys
from functools import cache, partial

import pytest
import torch
import torch.nn.functional as F

import multimodal_vae.evaluation
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation import protocol
from multimodal_vae.evaluation.coherence import shuffled_within, within_class_correlation
from multimodal_vae.evaluation.judge import train_judge
from multimodal_vae.evaluation.kernel_distance import kernel_distance
from multimodal_vae.evaluation.patch_classifier import patch_classifier
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.protocol import evaluate
from multimodal_vae.evaluation.samples import LabeledSamples


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """Train patch classifiers for a few steps; test_texture.py trains them to the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "patch_classifier", partial(patch_classifier, steps=40))
        yield


def clean(rng, count, labels):
    """Pictures and signals of two classes that share a cause: how bright a stripe is, how high a wave."""
    cause = torch.randn(count, generator=rng)
    picture = torch.zeros(count, 1, 16, 16)
    picture[:, 0, ::3] = 0.5
    signal = torch.sin(torch.arange(24) / 2).repeat(count, 1, 1) * (1 + 0.5 * cause)[:, None, None]
    for row in range(count):
        column = 2 + 8 * int(labels[row])
        picture[row, 0, 4:12, column : column + 4] += 1.5 + cause[row]
        signal[row] += 1.5 * float(labels[row])
    return picture, signal, cause


def draw(seed, count=120, noise=0.2):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    picture, signal, cause = clean(rng, count, labels)
    picture = picture + noise * torch.randn(picture.shape, generator=rng)
    signal = signal + noise * torch.randn(signal.shape, generator=rng)
    patients = [f"p{row // 3}" for row in range(count)]
    return LabeledSamples({"picture": picture, "signal": signal}, labels, patients, {"strength": cause})


@cache
def cohort():
    apart = draw(10, 200)
    judges = [
        train_judge(apart, ["left", "right"], names, epochs=12, width=4) for names in (None, ["picture"], ["signal"])
    ]
    return draw(0), draw(1), judges


def results_of(generated, **arguments):
    train, held_out, judges = cohort()
    results = evaluate(train, held_out, generated, judges, resamples=40, **arguments)
    return {result.name: result for result in results}


@cache
def of_a_perfect_generator():
    _, held_out, _ = cohort()
    return results_of(
        draw(2, 160),
        reconstructions=held_out.values,
        embeddings=torch.cat([x.flatten(1) for x in held_out.values.values()], 1),
        references=draw(1, noise=0).values,
        translations=held_out.values,
    )


def test_fresh_real_samples_reach_what_real_ones_do():
    results = of_a_perfect_generator()
    for name in ("purity", "coherence/class/picture+signal", "utility/synthetic alone", "latent/separability"):
        assert results[name].value == pytest.approx(results[name].real, abs=0.05), name
    for name in ("precision", "recall", "density", "coverage"):
        assert results[f"fidelity/{name}"].value == pytest.approx(results[f"fidelity/{name}"].real, abs=0.2), name
    for name in ("coherence/cause strength/picture+signal", "coherence/within class/picture+signal"):
        assert results[name].value == pytest.approx(results[name].real, abs=0.15), name
        assert results[name].value > 0.6, name
    assert results["translation/picture"].value == results["translation/signal"].value == 1
    # The stripe's place depends on the class: level and height of the wave give its brightness only in part.
    assert 0.1 < results["translation/picture"].baseline < 0.6
    assert results["fidelity/two-sample"].value < 0.65
    for name in ("texture/classifier/picture", "texture/classifier/signal"):
        assert abs(results[name].value - 0.5) < 0.25, name  # of 30 against 30: standard error .075
    for name in ("texture/distance/picture/level 1", "texture/distance/signal/level 2"):
        assert results[name].value == pytest.approx(results[name].real, abs=0.03), name
    assert abs(results["coherence/within class/picture+signal"].context["shuffled"]) < 0.3
    assert results["individuality/picture"].value == results["individuality/signal"].value == 1
    for name, result in results.items():
        if name.startswith("sharpness/"):
            assert 0.7 < result.value < 1.4, name
        if name.startswith("reproduced/"):
            assert result.value == result.real > 0.8, name


def test_every_value_lies_in_its_interval_and_has_its_context():
    for name, result in of_a_perfect_generator().items():
        assert math.isfinite(result.value), name
        if result.interval is not None:
            low, high = result.interval
            assert low - 0.03 <= result.value <= high + 0.03, name
        if name.split("/")[0] not in {"individuality", "latent", "translation"}:
            assert result.real is not None, name
            assert result.baseline is not None, name


def test_the_real_values_are_of_real_samples_that_judges_have_not_learned_from():
    train, held_out, judges = cohort()
    good, bad = results_of(draw(2)), results_of(noisy(draw(2)))
    assert {name: result.real for name, result in bad.items()} == {name: result.real for name, result in good.items()}
    joint, *single = (judge.predict(held_out.values) for judge in judges)
    assert good["purity"].real == balanced_accuracy(joint.labels, held_out.labels)
    strengths = within_class_correlation(*(reading.causes["strength"] for reading in single), held_out.labels)
    assert good["coherence/cause strength/picture+signal"].real == pytest.approx(strengths, abs=1e-5)
    known, new = (judges[0].predict(samples.values).features.double() for samples in (train, held_out))
    scale = known.var(0).mean().sqrt()
    expected = kernel_distance((known - known.mean(0)) / scale, (new - known.mean(0)) / scale)
    assert good["fidelity/kernel distance"].real == pytest.approx(expected, rel=1e-4)


def replaced(samples, **values):
    return LabeledSamples({**samples.values, **values}, samples.labels)


def collapsed(samples):
    values = {}
    for name, x in samples.values.items():
        means = torch.stack([x[samples.labels == k].mean(0) for k in (0, 1)])[samples.labels]
        values[name] = means + 0.1 * (x - means)
    return LabeledSamples(values, samples.labels)


def blurred(samples):
    x = samples.values["picture"]
    return replaced(samples, picture=F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1))


def exchanged(samples):
    return replaced(samples, signal=samples.values["signal"][shuffled_within(samples.labels, 0)])


def mislabeled(samples):
    return LabeledSamples(samples.values, samples.labels[torch.randperm(len(samples), generator=torch.Generator())])


def noisy(samples):
    rng = torch.Generator().manual_seed(0)
    return LabeledSamples(
        {n: x + 4 * torch.randn(x.shape, generator=rng) for n, x in samples.values.items()}, samples.labels
    )


@pytest.mark.parametrize(
    ("spoil", "name", "below"),
    [
        (collapsed, "fidelity/recall", 0.3),
        (blurred, "sharpness/picture/0.2-0.5", 0.5),
        (exchanged, "coherence/cause strength/picture+signal", 0.3),
        (exchanged, "coherence/within class/picture+signal", 0.3),
        (mislabeled, "purity", 0.7),
        (mislabeled, "coherence/class/picture+signal", 0.7),
        (mislabeled, "utility/synthetic alone", 0.8),
        (noisy, "fidelity/precision", 0.3),
    ],
)
def test_what_is_spoilt_is_noticed_by_the_measure_that_is_there_for_it(spoil, name, below):
    assert results_of(spoil(draw(2, 160)))[name].value < below < of_a_perfect_generator()[name].value


def test_a_blur_is_seen_as_another_texture():
    results, good = results_of(blurred(draw(2, 160))), of_a_perfect_generator()
    assert results["texture/distance/picture/level 1"].value > 5 * good["texture/distance/picture/level 1"].value
    assert results["texture/classifier/picture"].value > 0.9
    assert results["texture/distance/signal/level 1"] == good["texture/distance/signal/level 1"]


@pytest.mark.parametrize("spoil", [collapsed, noisy])
def test_differences_grow(spoil):
    results, good = results_of(spoil(draw(2, 160))), of_a_perfect_generator()
    assert results["fidelity/two-sample"].value > 0.8
    for name in ("fidelity/kernel distance", "fidelity/spread/picture", "fidelity/spread/signal"):
        assert results[name].value > 2 * abs(good[name].value), name
    assert abs(results["purity"].context["spread picture"] - 1) > 0.5


def test_copies_of_training_samples_are_caught_by_their_distance():
    train, _, _ = cohort()
    copies, fresh = results_of(train)["copying/closest record"], results_of(draw(2))["copying/closest record"]
    assert copies.value == 0 < copies.real
    assert fresh.value == pytest.approx(fresh.real, rel=0.3)  # medians of 60 distances


def test_the_same_seed_gives_the_same_results():
    assert results_of(draw(2)) == results_of(draw(2))


def test_one_modality_without_space_is_enough():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    one, two, three = (
        LabeledSamples({"x": torch.randn(60, 3, generator=rng) + 3 * labels[:, None]}, labels) for _ in range(3)
    )
    judge = train_judge(one, ["a", "b"], epochs=10)
    names = {result.name.split("/")[0] for result in evaluate(one, two, three, [judge], resamples=10)}
    assert names == {"fidelity", "purity", "copying", "utility"}


def test_what_does_not_belong_together_is_refused():
    train, held_out, judges = cohort()
    with pytest.raises(DataError, match="no judge uses all"):
        evaluate(train, held_out, draw(2), judges[1:])
    with pytest.raises(DataError, match="compared have the modalities"):
        evaluate(train, held_out, LabeledSamples({"picture": held_out.values["picture"]}, held_out.labels), judges)
    with pytest.raises(DataError, match="the same classes"):
        evaluate(train, held_out, held_out.take(torch.nonzero(held_out.labels == 0).flatten()), judges)


def test_evaluation_knows_nothing_of_models_training_or_runs():
    modules = [module.name for module in pkgutil.iter_modules(multimodal_vae.evaluation.__path__)]
    code = "\n".join(
        [
            *(f"import multimodal_vae.evaluation.{name}" for name in modules),
            "import sys",
            "rooms = {'.'.join(name.split('.')[:2]) for name in sys.modules if name.startswith('multimodal_vae.')}",
            "names = {'errors', 'checks', 'files', 'distances', 'part', 'scopes', 'data', 'evaluation', 'registry'}",
            "names |= {'discovery', 'bounds', 'distributed', 'locks', 'names', 'tables', 'modalities', 'nn'}",
            "names |= {'formulas', 'notebook', 'progress', 'transfer'}",
            "assert rooms <= {f'multimodal_vae.{name}' for name in names}, rooms",
        ]
    )
    subprocess.run([sys.executable, "-c", code], check=True)
