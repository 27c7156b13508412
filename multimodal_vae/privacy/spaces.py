"""Where distances are taken: in the data, in features, in the latent; of all modalities together, and of each."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.privacy.records import Records

Space = Callable[[Records], Tensor]
"""Gives (N, D) of records."""

LATENT = "latent"


def spaces(pool: Records, judges: Sequence[Judge] = (), components: int = 20, seed: int = 0) -> dict[str, Space]:
    """The spaces by name: ``data``, ``features`` and ``latent`` of all, ``data/NAME`` and ``features/NAME`` of one.

    In the data each modality has a total variance of one, so that none drowns another. Features are a judge's where
    there is one of just these modalities, else principal components.

    Args:
        pool: what scales and components are learned from: as many records of each kind as of any other, since
            components learned from members alone would fit them better than others, and pass for a leak.
        judges: trained apart.
        components: how many principal components, at most.
        seed: of their solver.

    Example:
        >>> from multimodal_vae.evaluation.samples import LabeledSamples
        >>> values = {"a": torch.randn(9, 2, 3), "b": torch.randn(9, 4)}
        >>> {name: space(Records(LabeledSamples(values, torch.zeros(9, dtype=torch.int64)))).shape[1]
        ...  for name, space in spaces(Records(LabeledSamples(values, torch.zeros(9, dtype=torch.int64)))).items()}
        {'data': 10, 'data/a': 6, 'data/b': 4, 'features': 8, 'features/a': 6, 'features/b': 4}
    """
    values = pool.samples.values
    alone = {f"/{name}": [name] for name in values} if len(values) > 1 else {}
    seen = {"": list(values), **alone}
    scales = {name: float(x.detach().flatten(1).double().var(0).sum()) ** 0.5 or 1.0 for name, x in values.items()}
    found: dict[str, Space] = {f"data{of}": _data({name: scales[name] for name in names}) for of, names in seen.items()}
    for of, names in seen.items():
        judge = next((judge for judge in judges if set(judge.modalities) == set(names)), None)
        if judge is not None:
            found[f"features{of}"] = _judged(judge)
        else:
            pca = JointPCA(components, seed).fit({name: values[name] for name in names})
            found[f"features{of}"] = _components(pca)
    if pool.latents is not None:
        found[LATENT] = _latents
    return found


def _data(scales: Mapping[str, float]) -> Space:
    return lambda records: torch.cat(
        [records.samples.values[name].detach().flatten(1).double() / scale for name, scale in scales.items()], 1
    )


def _judged(judge: Judge) -> Space:
    return lambda records: judge.read(records.samples.values).features.double()


def _components(pca: JointPCA) -> Space:
    return lambda records: pca.transform(records.samples.values).double()


def _latents(records: Records) -> Tensor:
    assert records.latents is not None  # noqa: S101  (audit has seen to it)
    return records.latents.detach().double()
