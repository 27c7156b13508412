"""A small network that learns to say what samples are, for the judgment of others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import TypedDict

from multimodal_vae.errors import DataError, RunError
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import file_sha256, read_json, read_tensors, write_json, write_tensors
from multimodal_vae.scopes import evaluating, seeded

VERSION = 2
"""Of what a judge's weights mean; raised when its networks change."""


@dataclass(frozen=True)
class JudgeOutput:
    """What a judge says of samples.

    Attributes:
        features: (N, F), what its last layer looks at.
        probabilities: (N, classes).
        causes: (N,) by name, in the unit they were learned in.
    """

    features: Tensor
    probabilities: Tensor
    causes: Mapping[str, Tensor]

    @property
    def labels(self) -> Tensor:
        """The likeliest class of each sample, (N,)."""
        return self.probabilities.argmax(1)


class Judge(nn.Module):
    """A classifier of one modality or of several together, which may read causes as well.

    Each modality has three convolutions over its space, whatever its dimensions, or a linear layer where it has none;
    what they find is joined into a vector of features, from which one linear layer gives classes and causes.

    Args:
        shapes: of one sample, by modality: (channels, *space), or (size,) of a vector.
        classes: names of the classes; a label is an index into them.
        causes: names of the numbers to read.
        width: features of the first convolution.
        features: length of the vector of features.

    Example:
        >>> judge = Judge({"image": (1, 16, 16), "age": (1,)}, ["well", "ill"])
        >>> judge.read({"image": torch.zeros(3, 1, 16, 16), "age": torch.zeros(3, 1)}).probabilities.shape
        torch.Size([3, 2])
    """

    _center: Tensor
    _scale: Tensor

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        classes: Sequence[str],
        causes: Sequence[str] = (),
        width: int = 16,
        features: int = 64,
    ) -> None:
        super().__init__()
        self.shapes = {name: list(shape) for name, shape in shapes.items()}
        self.classes, self.causes = list(classes), list(causes)
        self.width, self.size = width, features
        trunks = [_trunk(shape, width) for shape in self.shapes.values()]
        self._trunks = nn.ModuleList(trunk for trunk, _ in trunks)
        self._join = nn.Sequential(nn.Linear(sum(size for _, size in trunks), features), nn.ReLU())
        self._head = nn.Linear(features, len(self.classes) + len(self.causes))
        self.register_buffer("_center", torch.zeros(len(self.causes)))
        self.register_buffer("_scale", torch.ones(len(self.causes)))

    @property
    def modalities(self) -> list[str]:
        """Names of what it looks at."""
        return list(self.shapes)

    def forward(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Features (N, F), logits (N, classes) and causes (N, causes), these in standard deviations."""
        for name, shape in self.shapes.items():
            if name not in values or list(values[name].shape[1:]) != shape:
                seen = tuple(values[name].shape[1:]) if name in values else "no such modality"
                raise DataError(f"the judge learned from {name!r} of shape {tuple(shape)}, and sees {seen}")
        found = [trunk(values[name]) for name, trunk in zip(self.shapes, self._trunks, strict=True)]
        features = self._join(torch.cat(found, 1))
        logits, causes = self._head(features).split([len(self.classes), len(self.causes)], 1)
        return features, logits, causes

    def read(self, values: Mapping[str, Tensor], batch: int = 256) -> JudgeOutput:
        """Judge samples (N, *shape) by modality; others than its own are not looked at.

        Raises:
            DataError: if a modality is missing, or of another shape.
        """
        device = self._center.device
        known = [name for name in self.shapes if name in values]
        count = len(values[known[0]]) if known else 0
        parts = []
        with evaluating(self):
            for start in range(0, max(count, 1), batch):
                some = {name: values[name][start : start + batch].to(device).float() for name in known}
                parts.append([each.cpu() for each in self(some)])
        features, logits, causes = (torch.cat(each) for each in zip(*parts, strict=True))
        causes = causes * self._scale.cpu() + self._center.cpu()
        return JudgeOutput(features, logits.softmax(1), dict(zip(self.causes, causes.unbind(1), strict=True)))

    def save(self, path: Path) -> None:
        """Write the weights to ``path`` (.safetensors), and beside them a .json that says what they are."""
        write_tensors(path, self.state_dict(), {})
        write_json(
            path.with_suffix(".json"),
            _Facts(
                version=VERSION,
                sha256=file_sha256(path),
                shapes=self.shapes,
                classes=self.classes,
                causes=self.causes,
                width=self.width,
                features=self.size,
            ),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a judge back.

        Raises:
            RunError: if a file is missing, damaged, of another version, or the two do not belong together.
        """
        facts = read_json(path.with_suffix(".json"), _Facts)
        if facts["version"] != VERSION:
            raise RunError(f"{path} is a judge of version {facts['version']}, and this is {VERSION}; train it anew")
        tensors, _ = read_tensors(path)
        if facts["sha256"] != file_sha256(path):
            raise RunError(f"{path} and its .json do not belong together: the checksum is another")
        judge = cls(facts["shapes"], facts["classes"], facts["causes"], facts["width"], facts["features"])
        try:
            judge.load_state_dict(tensors)
        except RuntimeError as error:
            raise RunError(f"{path} does not hold the weights of the judge that its .json tells of") from error
        return judge.eval()


def train_judge(
    samples: LabeledSamples,
    classes: Sequence[str],
    modalities: Sequence[str] | None = None,
    augment: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    epochs: int = 20,
    batch: int = 64,
    learning_rate: float = 2e-3,
    width: int = 16,
    seed: int = 0,
) -> Judge:
    """Train a judge: cross-entropy with classes counted alike, and squared error of causes in standard deviations.

    A judge should have learned from samples that no generator has seen, or at least apart from it, and with the
    augmentation that the generator was trained with: otherwise it takes an augmented look for a foreign one.

    Args:
        samples: what to learn from; causes as well where they are known.
        classes: names of the classes.
        modalities: at which to look; all where it is None.
        augment: by modality, a function of a batch (N, *shape) that gives another.
        epochs: how often to see each sample.
        batch: samples of a step.
        learning_rate: the highest; it falls to zero along a cosine.
        width: of the judge.
        seed: of weights, order and augmentation.

    Raises:
        DataError: if there are too few samples, or a label is no class.

    Example:
        >>> labels = torch.arange(64) % 2
        >>> samples = LabeledSamples({"x": 4 * labels[:, None] + torch.randn(64, 3)}, labels)
        >>> judge = train_judge(samples, ["low", "high"], epochs=10)
        >>> float((judge.read(samples.values).labels == labels).double().mean()) > 0.9
        True
    """
    if len(samples) < 2:
        raise DataError(f"a judge learns from two samples at least, and there are {len(samples)}")
    if int(samples.labels.max()) >= len(classes):
        raise DataError(f"label {int(samples.labels.max())} is none of the {len(classes)} classes {list(classes)}")
    values = {name: samples.values[name].detach().cpu().float() for name in modalities or samples.values}
    with seeded(seed):
        judge = Judge({name: list(x.shape[1:]) for name, x in values.items()}, classes, list(samples.causes), width)
        _standardize(judge, values, samples)
        counts = torch.bincount(samples.labels, minlength=len(classes)).float()
        weight = torch.where(counts > 0, len(samples) / counts.clamp(min=1) / int((counts > 0).sum()), 0.0)
        causes = torch.stack([x.float() for x in samples.causes.values()], 1) if samples.causes else None
        optimizer = torch.optim.AdamW(judge.parameters(), learning_rate, weight_decay=1e-2)
        steps = epochs * -(-len(samples) // batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        judge.train()
        for _ in range(epochs):
            order = torch.randperm(len(samples))
            for start in range(0, len(order), batch):
                rows = order[start : start + batch]
                if len(rows) == 1:  # batch norm needs two
                    rows = order[-2:]
                seen = {name: (augment or {}).get(name, _as_it_is)(x[rows]) for name, x in values.items()}
                _, logits, read = judge(seen)
                loss = F.cross_entropy(logits, samples.labels[rows], weight)
                if causes is not None:
                    loss = loss + F.mse_loss(read, (causes[rows] - judge._center) / judge._scale)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return judge.eval()


class _Facts(TypedDict):
    version: int
    sha256: str
    shapes: dict[str, list[int]]
    classes: list[str]
    causes: list[str]
    width: int
    features: int


class _Standardize(nn.Module):
    """Channels as they are in training: mean zero, standard deviation one."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, *[1] * dimensions))
        self.register_buffer("deviation", torch.ones(channels, *[1] * dimensions))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


_CONVOLUTION: dict[int, tuple[type[nn.Module], type[nn.Module], type[nn.Module]]] = {
    1: (nn.Conv1d, nn.BatchNorm1d, nn.AdaptiveAvgPool1d),
    2: (nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.AdaptiveAvgPool3d),
}
_CELLS = 4
"""Cells a side in which features are averaged: where something is matters as much as that it is there."""


def _trunk(shape: Sequence[int], width: int) -> tuple[nn.Module, int]:
    """A network for samples of one shape, and the length of what it gives."""
    channels, *space = shape
    first = _Standardize(channels, len(space))
    if not space:
        return nn.Sequential(first, nn.Linear(channels, 4 * width), nn.ReLU()), 4 * width
    if len(space) not in _CONVOLUTION:
        raise DataError(f"a judge looks at vectors and at up to three dimensions of space, not at samples of {shape}")
    convolution, norm, pool = _CONVOLUTION[len(space)]
    layers: list[nn.Module] = [first]
    for inputs, outputs in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
        stride = [2 if side > 2 * _CELLS else 1 for side in space]
        space = [-(-side // step) for side, step in zip(space, stride, strict=True)]
        layers += [convolution(inputs, outputs, 3, stride=stride, padding=1), norm(outputs), nn.ReLU()]
    layers += [pool(_CELLS), nn.Flatten()]
    return nn.Sequential(*layers), int(4 * width * _CELLS ** len(space))


def _standardize(judge: Judge, values: Mapping[str, Tensor], samples: LabeledSamples) -> None:
    """Take means and standard deviations of modalities and causes from the training samples."""
    for x, trunk in zip(values.values(), judge._trunks, strict=True):
        first = cast(_Standardize, cast(nn.Sequential, trunk)[0])
        over = [0, *range(2, x.dim())]
        first.mean.copy_(x.mean(over).reshape(first.mean.shape))
        first.deviation.copy_(_or_one(x.std(over)).reshape(first.mean.shape))
    for index, x in enumerate(samples.causes.values()):
        judge._center[index] = x.float().mean()
        judge._scale[index] = _or_one(x.float().std())


def _or_one(deviation: Tensor) -> Tensor:
    return torch.where(deviation > 0, deviation, 1.0)


def _as_it_is(x: Tensor) -> Tensor:
    return x
