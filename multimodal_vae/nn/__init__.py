"""Networks, losses and augmentation for authors of modalities."""

from multimodal_vae.nn.augmentation import random_erasing, random_flip, random_rotation
from multimodal_vae.nn.censored import CensoredNormal, Limits
from multimodal_vae.nn.compact import CompactDecoder, CompactEncoder
from multimodal_vae.nn.count_distribution import NegativeBinomial
from multimodal_vae.nn.counts import CountDecoder, Poisson, Presence, StandardizeCounts, ZeroInflated
from multimodal_vae.nn.losses import (
    PIXEL_LOSSES,
    SMALLEST_SIDE,
    PixelLoss,
    bce,
    bce_minimum,
    detail,
    l1,
    laplacian_pyramid,
    ms_ssim,
    mse,
    ssim,
    weighted_loss,
)
from multimodal_vae.nn.mlp import LinearAndMLP, mlp
from multimodal_vae.nn.residual import SLOPE, ResidualBlock, ResidualDecoder, ResidualEncoder
from multimodal_vae.nn.scale import LearnedScale, PredictedScale
from multimodal_vae.nn.signals import SignalDecoder, SignalEncoder
from multimodal_vae.nn.standardize import Calibrated, Standardize, Unstandardize, standardized_mse
from multimodal_vae.nn.table import MeanAndIndicator

__all__ = [
    "PIXEL_LOSSES",
    "SLOPE",
    "SMALLEST_SIDE",
    "Calibrated",
    "CensoredNormal",
    "CompactDecoder",
    "CompactEncoder",
    "CountDecoder",
    "LearnedScale",
    "Limits",
    "LinearAndMLP",
    "MeanAndIndicator",
    "NegativeBinomial",
    "PixelLoss",
    "Poisson",
    "PredictedScale",
    "Presence",
    "ResidualBlock",
    "ResidualDecoder",
    "ResidualEncoder",
    "SignalDecoder",
    "SignalEncoder",
    "Standardize",
    "StandardizeCounts",
    "Unstandardize",
    "ZeroInflated",
    "bce",
    "bce_minimum",
    "detail",
    "l1",
    "laplacian_pyramid",
    "mlp",
    "ms_ssim",
    "mse",
    "random_erasing",
    "random_flip",
    "random_rotation",
    "ssim",
    "standardized_mse",
    "weighted_loss",
]
