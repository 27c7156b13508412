"""Judges: small classifiers trained on real samples to rate generated ones."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self, cast

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from typing_extensions import TypedDict

from multimodal_vae.checks import checked, require_finite, require_whole
from multimodal_vae.errors import ConfigurationError, DataError, RunError, did_you_mean
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import file_sha256, read_json, read_tensors, tensor_bytes, write_bytes, write_json
from multimodal_vae.progress import track
from multimodal_vae.scopes import BoundedWeights, evaluating, seeded

VERSION = 2
"""Version of the networks; saved judges of another version are refused."""


@dataclass(frozen=True)
class JudgeOutput:
    """Predictions of a judge.

    Attributes:
        features: (N, F), input of the last layer.
        probabilities: (N, classes).
        causes: (N,) by name, in the unit of the training samples.
    """

    features: Tensor
    probabilities: Tensor
    causes: Mapping[str, Tensor]

    @property
    def labels(self) -> Tensor:
        """Most probable class of each sample, (N,)."""
        return self.probabilities.argmax(1)


class Judge(nn.Module):
    """A classifier of one or several modalities together that may also estimate causes.

    Each modality passes three convolutions over up to three spatial dimensions, or a linear layer if it is a vector.
    Their outputs are joined into one feature vector, from which a linear layer predicts classes and causes.

    Args:
        shapes: shape of one sample per modality: (channels, *space), or (size,) for a vector.
        classes: names of the classes; labels are indices into them.
        causes: names of the causes to estimate.
        width: channels of the first convolution.
        features: length of the feature vector.

    Example:
        >>> judge = Judge({"image": (1, 16, 16), "age": (1,)}, ["well", "ill"])
        >>> judge.predict({"image": torch.zeros(3, 1, 16, 16), "age": torch.zeros(3, 1)}).probabilities.shape
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
        """Names of the modalities that the judge uses."""
        return list(self.shapes)

    def forward(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return features (N, F), logits (N, classes) and standardized causes (N, causes)."""
        for name, shape in self.shapes.items():
            if name not in values or list(values[name].shape[1:]) != shape:
                given = f"they have shape {tuple(values[name].shape[1:])}" if name in values else "there are none"
                raise DataError(f"the judge needs samples of {name!r} of shape {tuple(shape)}, but {given}")
        outputs = [trunk(values[name]) for name, trunk in zip(self.shapes, self._trunks, strict=True)]
        features = self._join(torch.cat(outputs, 1))
        logits, causes = self._head(features).split([len(self.classes), len(self.causes)], 1)
        return features, logits, causes

    @checked
    def predict(self, values: Mapping[str, Tensor], batch: int = 256) -> JudgeOutput:
        """Predict classes and causes of samples (N, *shape) per modality; other modalities are ignored.

        Raises:
            DataError: if a modality is missing or has another shape.
            TrainingError: if an output is not finite.
        """
        device = self._center.device
        known = [name for name in self.shapes if name in values]
        count = len(values[known[0]]) if known else 0
        parts = []
        with evaluating(self):
            for start in range(0, max(count, 1), batch):
                some = {name: values[name][start : start + batch].to(device).float() for name in known}
                parts.append([each.cpu() for each in self(some)])
        features, logits, causes = (
            require_finite(torch.cat(each), f"the judge of {', '.join(self.shapes)}")
            for each in zip(*parts, strict=True)
        )
        causes = causes * self._scale.cpu() + self._center.cpu()
        return JudgeOutput(features, logits.softmax(1), dict(zip(self.causes, causes.unbind(1), strict=True)))

    @checked
    def save(self, path: Path) -> None:
        """Write the weights to ``path`` (.safetensors) and their description to a .json file of the same name.

        The weights are written last: a judge is saved once they exist.
        """
        weights = tensor_bytes(self.state_dict(), {})
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}") from error
        write_json(
            path.with_suffix(".json"),
            _Description(
                version=VERSION,
                sha256=hashlib.sha256(weights).hexdigest(),
                shapes=self.shapes,
                classes=self.classes,
                causes=self.causes,
                width=self.width,
                features=self.size,
            ),
        )
        write_bytes(path, weights)

    @staticmethod
    def is_saved(path: Path) -> bool:
        """Return whether both files of a judge exist."""
        return path.exists() and path.with_suffix(".json").exists()

    @classmethod
    @checked
    def load(cls, path: Path) -> Self:
        """Load a judge.

        Raises:
            RunError: if a file is missing, damaged or of another version, or if the two files do not match.
        """
        facts = read_json(path.with_suffix(".json"), _Description)
        if facts["version"] != VERSION:
            raise RunError(
                f"{path} is a judge of version {facts['version']}; this package needs {VERSION}; train a new one"
            )
        tensors, _ = read_tensors(path)
        if facts["sha256"] != file_sha256(path):
            raise RunError(f"{path} and its .json do not match: the checksums differ")
        try:
            with BoundedWeights():
                judge = cls(facts["shapes"], facts["classes"], facts["causes"], facts["width"], facts["features"])
        except (ConfigurationError, ValueError, TypeError, RuntimeError, ArithmeticError, LookupError) as error:
            raise RunError(f"{path.with_suffix('.json')} describes no judge: {error}") from error
        try:
            judge.load_state_dict(tensors)
        except RuntimeError as error:
            raise RunError(f"{path} does not hold the weights that its .json describes") from error
        return judge.eval()


@checked
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
    """Train a judge with class-balanced cross-entropy and the squared error of standardized causes.

    Train it on samples that the generator has not seen, or at least independently of it, and with the generator's
    augmentation; otherwise the judge takes augmented samples for unfamiliar ones.

    Args:
        samples: training samples, with causes if known.
        classes: names of the classes.
        modalities: modalities to use; None: all.
        augment: augmentation of a batch (N, *shape), by modality.
        epochs: passes over the samples.
        batch: samples per step.
        learning_rate: initial learning rate; it falls to zero along a cosine.
        width: channels of the first convolution.
        seed: seed of weights, order and augmentation.

    Raises:
        DataError: if there are fewer than two samples, or a label is out of range.

    Example:
        >>> labels = torch.arange(64) % 2
        >>> samples = LabeledSamples({"x": 4 * labels[:, None] + torch.randn(64, 3)}, labels)
        >>> judge = train_judge(samples, ["low", "high"], epochs=10)
        >>> float((judge.predict(samples.values).labels == labels).double().mean()) > 0.9
        True
    """
    require_whole("epochs", epochs, 1)
    require_whole("batch", batch, 1)
    for name in modalities or ():
        if name not in samples.values:
            raise DataError(f"there are no samples of modality {name!r}; {did_you_mean(name, samples.values)}")
    if len(samples) < 2:
        raise DataError(f"a judge needs at least two samples; there are {len(samples)}")
    if int(samples.labels.max()) >= len(classes):
        raise DataError(
            f"label {int(samples.labels.max())} is out of range for {len(classes)} classes, {list(classes)}"
        )
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
        for _ in track(range(epochs), f"judge of {' and '.join(values)}"):
            order = torch.randperm(len(samples))
            for start in range(0, len(order), batch):
                rows = order[start : start + batch]
                if len(rows) == 1:  # batch norm needs two
                    rows = order[-2:]
                inputs = {name: (augment or {}).get(name, _identity)(x[rows]) for name, x in values.items()}
                _, logits, estimates = judge(inputs)
                loss = F.cross_entropy(logits, samples.labels[rows], weight)
                if causes is not None:
                    loss = loss + F.mse_loss(estimates, (causes[rows] - judge._center) / judge._scale)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return judge.eval()


class _Description(TypedDict):
    version: int
    sha256: str
    shapes: Annotated[dict[str, Annotated[list[PositiveInt], Field(min_length=1)]], Field(min_length=1)]
    classes: Annotated[list[str], Field(min_length=1)]
    causes: list[str]
    width: PositiveInt
    features: PositiveInt


class _Standardize(nn.Module):
    """Scale channels to mean zero and standard deviation one, as in training."""

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
"""Cells per side in which features are averaged, so that position matters."""


def _trunk(shape: Sequence[int], width: int) -> tuple[nn.Module, int]:
    """Return a network for samples of one shape, and the length of its output."""
    channels, *space = shape
    first = _Standardize(channels, len(space))
    if not space:
        return nn.Sequential(first, nn.Linear(channels, 4 * width), nn.ReLU()), 4 * width
    if len(space) not in _CONVOLUTION:
        raise DataError(
            f"a judge supports vectors and up to three spatial dimensions, not samples of shape {tuple(shape)}"
        )
    convolution, norm, pool = _CONVOLUTION[len(space)]
    layers: list[nn.Module] = [first]
    for inputs, outputs in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
        stride = [2 if side > 2 * _CELLS else 1 for side in space]
        space = [-(-side // step) for side, step in zip(space, stride, strict=True)]
        layers += [convolution(inputs, outputs, 3, stride=stride, padding=1), norm(outputs), nn.ReLU()]
    layers += [pool(_CELLS), nn.Flatten()]
    return nn.Sequential(*layers), int(4 * width * _CELLS ** len(space))


def _standardize(judge: Judge, values: Mapping[str, Tensor], samples: LabeledSamples) -> None:
    """Set means and standard deviations of modalities and causes from the training samples."""
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


def _identity(x: Tensor) -> Tensor:
    return x
