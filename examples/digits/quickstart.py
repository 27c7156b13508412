"""The upper and the lower half of a handwritten digit as two modalities: train, then ask for a digit.

Run: ``python examples/digits/quickstart.py``; it writes ``digits.png``.
"""

import sys

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import multimodal_vae as mv

# [quickstart]
digits = load_digits()
pixels = torch.tensor(digits.images / 16)[:, None]
half = mv.Image(size=(4, 8), channels=1, width=16)
data = mv.MultimodalDataset.from_tensors(
    {"upper": pixels[:, :, :4], "lower": pixels[:, :, 4:]},
    labels=digits.target,
    modalities={"upper": half, "lower": half},
)
train, validation, test = data.split(0.8, 0.0, 0.2, seed=0)
vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=16, objective={"kl_weight": 0.01}, seed=0)
mv.fit(vae, train, epochs=20, per_class=10, learning_rate=2e-3)
synthesizer = mv.Synthesizer(vae, mv.KDE()).fit(train)
threes = synthesizer.sample("3", 10, seed=0)  # {"upper": (10, 1, 4, 8), "lower": (10, 1, 4, 8)}
# [/quickstart]

figure = Figure(figsize=(10, 10), layout="constrained")
for row, digit in zip(figure.subplots(10, 10), data.classes, strict=True):
    new = threes if digit == "3" else synthesizer.sample(digit, 10, seed=0)
    for ax, picture in zip(row, torch.cat([new["upper"], new["lower"]], dim=2), strict=True):
        ax.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
        ax.set_axis_off()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "digits.png")
