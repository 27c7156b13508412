"""Spaces in which distances are measured: data, features and latent, of all modalities together and of each."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.privacy.records import Records

Space = Callable[[Records], Tensor]
"""A function that maps records to (N, D)."""

LATENT = "latent"


def spaces(pool: Records, judges: Sequence[Judge] = (), components: int = 20, seed: int = 0) -> dict[str, Space]:
    """Return spaces by name: ``data``, ``features`` and ``latent`` of all, ``data/NAME`` and ``features/NAME`` of one.

    In ``data``, each modality has a total variance of one. Features are those of a judge of exactly these modalities,
    if there is one, else principal components.

    Args:
        pool: records to fit scales and components to, equally many of each kind: components fitted to members alone
            would fit them better than others and appear as a leak.
        judges: independently trained judges.
        components: maximum number of principal components.
        seed: seed of the PCA solver.

    Example:
        >>> from multimodal_vae.evaluation.samples import LabeledSamples
        >>> values = {"a": torch.randn(9, 2, 3), "b": torch.randn(9, 4)}
        >>> records = Records(LabeledSamples(values, torch.zeros(9, dtype=torch.int64)))
        >>> {name: space(records).shape[1] for name, space in spaces(records).items()}
        {'data': 10, 'data/a': 6, 'data/b': 4, 'features': 8, 'features/a': 6, 'features/b': 4}
    """
    values = pool.samples.values
    subsets = {"": list(values), **({f"/{name}": [name] for name in values} if len(values) > 1 else {})}
    by_name = {f"data{suffix}": data_space({name: values[name] for name in names}) for suffix, names in subsets.items()}
    for suffix, names in subsets.items():
        judge = next((judge for judge in judges if set(judge.modalities) == set(names)), None)
        if judge is not None:
            by_name[f"features{suffix}"] = _features(judge)
        else:
            pca = JointPCA(components, seed).fit({name: values[name] for name in names})
            by_name[f"features{suffix}"] = _components(pca)
    if pool.latents is not None:
        by_name[LATENT] = _latents
    return by_name


def data_space(values: Mapping[str, Tensor]) -> Space:
    """Return the space of some modalities' values, each scaled by the total variance of those given."""
    scales = {name: float(x.detach().flatten(1).double().var(0).sum()) ** 0.5 or 1.0 for name, x in values.items()}
    return lambda records: torch.cat(
        [records.samples.values[name].detach().flatten(1).double() / scale for name, scale in scales.items()], 1
    )


def _features(judge: Judge) -> Space:
    return lambda records: judge.predict(records.samples.values).features.double()


def _components(pca: JointPCA) -> Space:
    return lambda records: pca.transform(records.samples.values).double()


def _latents(records: Records) -> Tensor:
    assert records.latents is not None  # noqa: S101  (audit checks it)
    return records.latents.detach().double()
