"""Settings that have no effect on the data are said before the first step."""

import re

import pytest

import multimodal_vae as mv

QUICK = {"epochs": 1, "device": "cpu", "show": False, "loggers": []}


def of_classes(**counts: int) -> mv.MultimodalDataset:
    labels = [label for label, count in counts.items() for _ in range(count)]
    vectors = [[float(row), 1.0] for row in range(len(labels))]
    return mv.MultimodalDataset.from_tensors({"x": vectors}, labels, {"x": mv.Vector(size=2, hidden=8)})


def test_a_metric_loss_without_classes_to_separate_is_said(make_model):
    data = of_classes(all=6)
    with pytest.warns(mv.MultimodalVAEWarning, match="one class, 'all', so the metric loss has no effect"):
        mv.fit(make_model(data), data, per_class=2, **QUICK)
    mv.fit(make_model(data, objective={"metric_weight": 0}), data, per_class=2, **QUICK)


def test_batches_that_repeat_samples_are_said_with_three_classes(make_model):
    data = of_classes(a=9, b=2, c=3, d=8, e=4)
    said = r"per_class is 8, .* of 'b' (2), 'c' (3), 'e' (4), so batches repeat them; lower it to 2"
    with pytest.warns(mv.MultimodalVAEWarning, match=re.escape(said).replace(r"\.\*", ".*")):
        mv.fit(make_model(data), data, per_class=8, **QUICK)
    mv.fit(make_model(data), data, per_class=2, **QUICK)
    mv.fit(make_model(data), data, **QUICK)  # the default is at most what there is on average


def test_early_stopping_on_validation_samples_that_do_not_exist_is_refused(make_model):
    data = of_classes(a=4, b=4)
    with pytest.raises(mv.ConfigurationError, match=r"'validation\.loss', but there are no validation samples"):
        mv.fit(make_model(data), data, early_stopping={"patience": 2}, **QUICK)
    mv.fit(make_model(data), data, early_stopping={"metric": "training.loss"}, **QUICK)


@pytest.mark.parametrize(("key", "instead"), [("batch_size", "'per_class', the number"), ("lr", "'learning_rate'")])
def test_the_names_of_other_libraries_lead_to_the_setting(key, instead, make_data, make_model):
    data = make_data()
    with pytest.raises(mv.ConfigurationError, match=f"no key '{key}'; set {instead}"):
        mv.fit(make_model(data), data, **{key: 1})
    with pytest.raises(mv.ConfigurationError, match=rf"\[training\] has no key '{key}'; set {instead}"):
        mv.Configuration(modalities=data.modalities, training={key: 1})
