import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import multimodal_vae as mv


def part(**settings):
    return mv.Volume(size=(2, 4, 6), width=4, **settings)


def test_one_channel_may_be_left_out_of_a_file(tmp_path):
    volume = np.random.default_rng(0).random((2, 4, 6))
    np.save(tmp_path / "a.npy", volume)
    np.save(tmp_path / "b.npy", volume[None])
    for name in ("a.npy", "b.npy"):
        np.testing.assert_array_equal(part().read(tmp_path / name), volume[None].astype(np.float32))
    assert part(channels=2).read(tmp_path / "a.npy").shape == (2, 4, 6)  # which check refuses
    with pytest.raises(mv.DataError, match=r"has shape \(2, 4, 6\), but 'volume' expects \(2, 2, 4, 6\)"):
        part(channels=2).check(torch.as_tensor(volume)[None])


def test_a_voxel_is_as_large_as_its_spacing_says_and_large_plots_name_the_directions():
    volume = part()
    volume.spacing, volume.ends = (3.0, 1.0, 1.0), ("IS", "PA", "LR")
    sample = torch.zeros(1, 2, 4, 6)
    sample[0, 1] = 0.5
    ax = Figure().subplots()
    volume.plot(sample, ax)
    frame = ax.images[0].get_array()
    assert frame.shape == (4 + 6, 6 + 4)
    np.testing.assert_allclose(frame[4:, :6], np.repeat([0.0, 0.5], 3)[:, None].repeat(6, 1))
    assert "".join(each.get_text() for each in ax.texts) == "LRPA" + "LRIS" + "PAIS"
    small = Figure(figsize=(0.5, 0.5)).subplots()
    volume.plot(sample, small)
    assert not small.texts


def test_three_slices_are_shown_with_the_last_rows_above():
    sample = torch.zeros(2, 2, 4, 6)
    sample[0, 1], sample[0, :, 2], sample[0, ..., 3] = 0.2, 0.4, 0.6  # the central slices
    ax = Figure().subplots()
    part(channels=2).plot(sample, ax)
    (shown,) = ax.images
    assert shown.origin == "lower"
    frame = shown.get_array()
    assert frame.shape == (4 + 2, 2 * (6 + 4))  # the channels side by side
    np.testing.assert_allclose(frame[:4, :6][0, [0, 3]], [0.2, 0.6])  # height and width
    np.testing.assert_allclose(frame[:4, :6][2, [0, 3]], [0.4, 0.6])
    np.testing.assert_allclose(frame[4:, :6][:, [0, 3]], [[0.4, 0.6]] * 2)  # depth and width
    np.testing.assert_allclose(frame[4:, 6:10], 0.6)  # depth and height
    assert not frame[:4, 6:10].any()
    assert not frame[:, 10:].any()


def test_augmentation_moves_target_and_input_and_erasing_the_input_only():
    volumes = 0.5 + torch.rand(5, 1, 2, 4, 6) / 2
    assert torch.equal(part(flip=1.0).augment(volumes), volumes.flip(-1))
    changing = part(rotate=1.0, degrees=40.0, erase=1.0)
    assert (changing.augment(volumes) != volumes).flatten(1).any(1).all()
    assert (changing.corrupt(volumes) == 0).flatten(1).any(1).all()
    for x in (part().augment(volumes), part().corrupt(volumes), changing.clone().augment(volumes[:0])):
        assert torch.equal(x, volumes[: len(x)])


@pytest.mark.parametrize("loss", ["ssim", "ms_ssim"])
def test_a_side_that_is_too_short_for_a_loss_is_refused(loss):
    with pytest.raises(mv.ConfigurationError, match=f"the loss '{loss}' needs at least .* the size is 2 x 4 x 6"):
        part(loss={loss: 1.0})


def test_more_than_four_channels_are_refused():
    with pytest.raises(mv.ConfigurationError, match="'channels'"):
        part(channels=5)
