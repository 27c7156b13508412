"""The items of a study: synthetic samples, and real ones where they are wanted, equally many of each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from multimodal_vae.bounds import require_seed
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, RunError
from multimodal_vae.evaluation.features import with_gaps_of
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.report.run_evaluation import labeled_samples
from multimodal_vae.synthesis.synthesizer import Synthesizer


@dataclass(frozen=True)
class Items:
    """The items in random order.

    Attributes:
        samples: their values and classes, (N,).
        real: (N,), whether an item is a patient's sample.
    """

    samples: LabeledSamples
    real: list[bool]


def choose_items(synthesizer: Synthesizer, held_out: MultimodalDataset | None, count: int, seed: int) -> Items:
    """Generate the synthetic items, and choose as many real ones of each class if there are held-out samples.

    The numbers of two classes differ by at most one. Generated samples miss what real ones of their class miss, so that
    gaps do not tell them apart.

    Args:
        synthesizer: model and densities.
        held_out: real samples to choose from; None for synthetic items only.
        count: number of items.
        seed: seed of all random choices.

    Raises:
        ConfigurationError: if ``count`` does not give each class an item, or is odd with real items.
        RunError: if the held-out samples are too few.
    """
    generator = torch.Generator().manual_seed(require_seed(seed))
    classes = synthesizer.vae.classes
    labels = [label for label, name in enumerate(classes) if name in synthesizer.densities]
    if held_out is not None and count % 2:
        raise ConfigurationError(f"{count} items cannot be half real and half synthetic; give an even --count")
    shares = even_shares(count if held_out is None else count // 2, labels)
    if held_out is None:
        samples = generate(synthesizer, shares, seed)
        real = [False] * count
    else:
        originals = labeled_samples(held_out.subset(choose_real(held_out, shares, generator)))
        synthetic = with_gaps_of(generate(synthesizer, shares, seed), originals, synthesizer.vae.modalities, seed)
        values = {name: torch.cat([x, synthetic.values[name].to(x)]) for name, x in originals.values.items()}
        samples = LabeledSamples(values, torch.cat([originals.labels, synthetic.labels]), gaps=synthetic.gaps)
        real = [True] * len(originals) + [False] * len(synthetic)
    order = torch.randperm(count, generator=generator)
    return Items(samples.take(order), [real[row] for row in order.tolist()])


def even_shares(count: int, labels: Sequence[int]) -> dict[int, int]:
    """Return the number of items of each class.

    Raises:
        ConfigurationError: if there are more classes than items.

    Example:
        >>> even_shares(8, [0, 1, 2])
        {0: 3, 1: 3, 2: 2}
    """
    if count < len(labels):
        raise ConfigurationError(
            f"{count} items of a kind do not give each of the {len(labels)} classes one; give a larger --count"
        )
    return {label: count // len(labels) + (place < count % len(labels)) for place, label in enumerate(labels)}


def generate(synthesizer: Synthesizer, shares: Mapping[int, int], seed: int) -> LabeledSamples:
    """Generate a number of samples of each class, given by class index, as ``mmvae sample`` does."""
    vae = synthesizer.vae
    by_class = [synthesizer.sample(vae.classes[label], count, seed + label) for label, count in shares.items()]
    values = {name: torch.cat([each[name] for each in by_class]) for name in vae.modalities}
    labels = torch.tensor([*shares]).repeat_interleave(torch.tensor([*shares.values()]))
    return LabeledSamples(values, labels, gaps=any(modality.gaps for modality in vae.modalities.values()))


def choose_real(held_out: MultimodalDataset, shares: Mapping[int, int], generator: torch.Generator) -> list[int]:
    """Return rows of complete samples at random, each of another patient as long as there are others.

    Args:
        held_out: samples to choose from.
        shares: number of rows by class index.
        generator: source of the random choice.

    Raises:
        RunError: naming the class with too few complete samples.
    """
    complete = held_out.present.all(1).tolist()
    order = torch.randperm(len(held_out), generator=generator).tolist()
    chosen = list[int]()
    patients = set[str]()
    for label, count in shares.items():
        rows = [row for row in order if complete[row] and int(held_out.labels[row]) == label]
        if len(rows) < count:
            raise RunError(
                f"the class {held_out.classes[label]!r} has {len(rows)} complete held-out samples, and this study "
                f"needs {count}; lower --count, or choose another --split"
            )
        first = list[int]()
        for row in rows:
            if len(first) < count and held_out.patients[row] not in patients:
                first.append(row)
                patients.add(held_out.patients[row])
        chosen += [*first, *(row for row in rows if row not in first)][:count]
    return chosen
