import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.geometry.transform import rotate
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from multimodal_vae.nn import random_erasing, random_flip, random_rotation
from multimodal_vae.nn.augmentation import ERASED_AREA, rotate_volume
from multimodal_vae.nn.augmentation import rotate as rotate_rows

CHANGES = {
    "flip": random_flip,
    "rotation": lambda x, probability: random_rotation(x, probability, 20),
    "erasing": random_erasing,
}
each_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())


def batch(count=64, size=(32, 32), same=False, channels=2):
    x = torch.rand(1 if same else count, channels, *size, generator=torch.Generator().manual_seed(0)) + 0.1
    return x.expand(count, -1, -1, -1)


def changed(after, before):
    return (after != before).flatten(1).any(1)


@each_change
def test_no_row_changes_at_zero_and_every_one_at_one(change):
    x = batch()
    assert torch.equal(change(x, 0), x)
    assert changed(change(x, 1), x).all()


@each_change
def test_each_row_has_its_own_draw_and_what_is_given_stays(change):
    torch.manual_seed(0)
    x = batch(400, (16, 16), same=True)
    before = x.clone()
    moved = changed(change(x, 0.25), x)
    assert torch.equal(x, before)
    assert 100 - 5 * 9 < moved.sum() < 100 + 5 * 9  # five standard deviations of a binomial of 400 at one quarter


@each_change
def test_a_seed_repeats_it(change):
    x, results = batch(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(change(x, 0.5))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@each_change
def test_an_empty_batch_stays_empty(change):
    assert change(batch(0), 0.5).shape == (0, 2, 32, 32)


@each_change
def test_channels_move_together_and_the_dtype_stays(change):
    x = batch(channels=1).expand(-1, 3, -1, -1).double()
    after = change(x, 0.5)
    assert after.dtype == torch.float64
    assert torch.equal(after[:, 0], after[:, 2])


@given(seed=st.integers(0, 2**31), height=st.integers(2, 40), width=st.integers(2, 40))
def test_rotation_is_kornias(seed, height, width):
    rng = torch.Generator().manual_seed(seed)
    x = torch.rand(3, 2, height, width, generator=rng, dtype=torch.float64)
    degrees = 360 * torch.rand(3, generator=rng, dtype=torch.float64) - 180
    # Kornia normalizes in another way; a pixel exactly on the border may fall on either side of it.
    # Version 0.8 differs by 2e-6.
    difference = (rotate_rows(x, degrees) - rotate(x, degrees, align_corners=True)).abs()
    assert (difference > 1e-5).double().mean() < 0.02


def test_a_quarter_turn_is_counterclockwise():
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    torch.testing.assert_close(rotate_rows(x, torch.tensor([90.0])), torch.rot90(x, 1, (2, 3)), rtol=0, atol=1e-5)


def test_angles_are_within_the_degrees_and_reach_both_ends():
    torch.manual_seed(0)
    line = torch.zeros(500, 1, 65, 65)
    line[:, :, 32, 62] = 1
    rows = random_rotation(line, 1, 20).flatten(2).argmax(2)[:, 0] // 65
    height = 30 * torch.sin(torch.deg2rad(torch.tensor(20.0)))  # 10.3 pixels
    assert rows.min() == 32 - round(float(height))
    assert rows.max() == 32 + round(float(height))


@given(seed=st.integers(0, 2**31), height=st.integers(4, 64), width=st.integers(4, 64))
def test_erases_one_rectangle_of_the_papers_size(seed, height, width):
    torch.manual_seed(seed)
    erased = random_erasing(torch.ones(8, 1, height, width), 1)[:, 0] == 0
    rows, columns = erased.any(2).sum(1), erased.any(1).sum(1)
    assert torch.equal(rows * columns, erased.sum((1, 2)))
    assert (erased.sum((1, 2)) >= 1).all()
    within = (rows < height) & (columns < width)  # where no side is clipped
    area = ERASED_AREA[1] * height * width
    # Sides are rounded to pixels, by up to half a pixel each.
    assert (erased.sum((1, 2))[within] <= area + (rows + columns)[within] / 2 + 1).all()


def test_erased_rectangles_lie_anywhere():
    torch.manual_seed(0)
    share = (random_erasing(torch.ones(4000, 1, 16, 16), 1) == 0).float().mean((0, 1))
    assert (share > 0.005).all()  # also at corners, which few rectangles cover
    torch.testing.assert_close(share, share.flip(0, 1), rtol=0, atol=0.05)


VOLUME = torch.rand(40, 3, 5, 6, 7, generator=torch.Generator().manual_seed(0)) + 0.1


@each_change
@pytest.mark.parametrize("axes", [1, 3])
def test_other_dimensions_keep_their_shape_and_draw_per_row(change, axes):
    if change is CHANGES["rotation"] and axes == 1:
        with pytest.raises(ValueError, match="images or volumes can be rotated"):
            change(VOLUME[..., 0, 0, :], 1)
        return
    x = VOLUME if axes == 3 else VOLUME[:, :, 0, 0]
    torch.manual_seed(0)
    for count in (1, 3, 40):  # 3 is the number of channels too
        assert change(x[:count], 0.5).shape == x[:count].shape
    assert torch.equal(change(x, 0), x)
    assert changed(change(x, 1), x).all()
    moved = changed(change(x, 0.5), x)
    assert 0 < moved.sum() < 40


def test_a_volume_is_flipped_along_its_width():
    assert torch.equal(random_flip(VOLUME, 1), VOLUME.flip(4))


def test_rotation_of_a_volume_is_scipys():
    # Rodrigues' rotation in millimeters, and linear interpolation; scipy takes indices along depth, height and width.
    spacing, axis, angle = (2.0, 1.0, 0.5), torch.tensor([1.0, -2.0, 3.0]).double(), 35.0
    volume = VOLUME[0].double()
    turn = Rotation.from_rotvec(np.deg2rad(angle) * axis.numpy() / np.linalg.norm(axis.numpy())).as_matrix()
    matrix = np.diag(1 / np.array(spacing)) @ turn[::-1, ::-1].T @ np.diag(spacing)
    center = (np.array(volume.shape[1:]) - 1) / 2
    expected = [affine_transform(x, matrix, center - matrix @ center, order=1, mode="grid-constant") for x in volume]
    rotated = rotate_volume(volume[None], torch.tensor([angle]).double(), axis[None], spacing)[0]
    np.testing.assert_allclose(rotated, np.stack(expected), atol=1e-9)


def test_a_turn_about_the_depth_is_that_of_each_slice():
    turned = rotate_volume(VOLUME, torch.full((40,), 20.0), torch.tensor([[0.0, 0.0, 1.0]]).expand(40, 3))
    slices = rotate_rows(VOLUME.transpose(1, 2).flatten(0, 1), torch.full((200,), -20.0))  # rows run downward
    torch.testing.assert_close(turned.transpose(1, 2).flatten(0, 1), slices, rtol=0, atol=1e-5)


def test_an_erased_box_has_the_share_of_the_paper():
    torch.manual_seed(0)
    erased = random_erasing(torch.ones(200, 1, 12, 13, 14), 1)[:, 0] == 0
    sides = [erased.any(3).any(2), erased.any(3).any(1), erased.any(2).any(1)]
    counts = [mask.sum(1) for mask in sides]
    assert torch.equal(erased.sum((1, 2, 3)), counts[0] * counts[1] * counts[2])
    share = erased.float().mean((1, 2, 3))
    assert share.max() < ERASED_AREA[1] * 1.3  # sides are rounded
    assert 0.15 < share.mean() < 0.25  # the mean of the uniform share is 0.21; sides that are clipped take from it
