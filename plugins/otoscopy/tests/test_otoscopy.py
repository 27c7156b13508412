import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from skimage.metrics import structural_similarity

from multimodal_vae import ConfigurationError, DataError
from multimodal_vae.part import Part
from multimodal_vae_otoscopy import Otoscopy, Square, crop_square, find_square


def frame(
    height=480, width=640, radius=200.0, row=240.0, column=320.0, level=0.7, black=0.0, noise=0.0, softness=1.0, seed=0
):
    """A textured disc on black, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] + 0.5
    distance = np.hypot(rows - row, columns - column)
    disc = np.clip((radius - distance) / softness + 0.5, 0, 1)
    texture = 0.85 + 0.15 * np.sin(rows / 17) * np.cos(columns / 23) - 0.2 * (distance / radius) ** 2
    color = np.array([1.0, 0.7, 0.6])
    picture = black + (level - black) * (disc * texture)[..., None] * color
    return np.clip(picture + noise * rng.normal(size=picture.shape), 0, 1).astype(np.float32)


def bytes_of(picture, kind="PNG", **options):
    file = io.BytesIO()
    Pillow.fromarray(np.round(picture * 255).astype(np.uint8)).save(file, kind, **options)
    return file.getvalue()


def saved(folder, picture, kind="png", **options):
    path = folder / f"picture.{kind}"
    path.write_bytes(bytes_of(picture, {"png": "PNG", "jpg": "JPEG"}[kind], **options))
    return path


def jpeg(picture, quality):
    file = io.BytesIO(bytes_of(picture, "JPEG", quality=quality))
    return np.asarray(Pillow.open(file), dtype=np.float32) / 255


def assert_holds(square, row, column, radius, within=2.0):
    expected = (row - radius, column - radius, 2 * radius)
    np.testing.assert_allclose([square.top, square.left, square.side], expected, atol=within)


@settings(max_examples=25, deadline=None)
@given(
    radius=st.floats(60, 235),
    across=st.floats(0, 1),
    down=st.floats(0, 1),
    level=st.floats(0.12, 1),
    quality=st.one_of(st.none(), st.integers(50, 95)),
    noise=st.floats(0, 0.01),
)
def test_finds_the_disc(radius, across, down, level, quality, noise):
    row = radius + 1 + down * (480 - 2 * radius - 2)
    column = radius + 1 + across * (640 - 2 * radius - 2)
    picture = frame(radius=radius, row=row, column=column, level=level, noise=noise * level)
    picture = jpeg(picture, quality) if quality else picture
    square = find_square(picture)
    assert square.has_surround
    # Where few gray levels are left to it, JPEG keeps no edge finer than one of its blocks, 8 pixels wide.
    assert_holds(square, row, column, radius, within=8.0 if quality and level < 0.4 else 2.0)


@pytest.mark.parametrize(("height", "width", "scale"), [(240, 320, 1), (960, 1280, 2), (1080, 1920, 2), (431, 397, 1)])
def test_finds_the_disc_in_frames_of_other_sizes(height, width, scale):
    radius = 0.4 * min(height, width)
    picture = frame(height, width, radius, height / 2 + 3, width / 2 - 5, noise=0.01)
    assert_holds(find_square(picture), height / 2 + 3, width / 2 - 5, radius, within=2 * scale)


def test_finds_an_underexposed_disc():
    assert_holds(find_square(frame(level=0.06, noise=0.004)), 240, 320, 200, within=4)


def test_finds_the_disc_above_stray_light():
    assert_holds(find_square(frame(level=0.5, black=0.05, noise=0.01)), 240, 320, 200)


def test_finds_the_disc_with_a_vignette_and_glare():
    rows, columns = np.mgrid[:480, :640]
    distance = np.hypot(rows - 239.5, columns - 319.5) / 200
    picture = np.where(distance < 1, 0.8 - 0.5 * distance**2, 0.0)[..., None].repeat(3, axis=2)
    picture[200:225, 300:330] = 1
    assert_holds(find_square(picture), 240, 320, 200)


def test_ignores_captions():
    from PIL import ImageDraw

    picture = Pillow.fromarray(np.round(frame(radius=190) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.text((4, 4), "2021-03-04 10:11  L", fill="white", font_size=24)
    draw.text((520, 440), "ID 000000", fill="yellow", font_size=20)
    assert_holds(find_square(np.asarray(picture, dtype=np.float32) / 255), 240, 320, 190)


def test_a_disc_cut_by_the_frame_gives_the_frames_height():
    square = find_square(frame(radius=290))
    assert square.side == 480
    assert abs(square.left - 80) <= 2


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (50, 50)])
def test_cuts_the_center_where_there_is_no_surround(height, width):
    picture = np.random.default_rng(0).uniform(0.4, 1, (height, width, 3))
    side = min(height, width)
    assert find_square(picture) == Square((height - side) // 2, (width - side) // 2, side, has_surround=False)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_the_square_lies_within_any_frame(height, width, seed, level, share):
    rng = np.random.default_rng(seed)
    picture = level * rng.random((height, width, 3)) * (rng.random((height, width, 1)) < share)
    try:
        square = find_square(picture)
    except DataError:
        return
    assert crop_square(picture, square).shape == (square.side, square.side, 3)
    assert min(square) >= 0
    assert square.side >= 1


@pytest.mark.parametrize("black", [np.zeros((48, 64, 3)), np.full((48, 64, 3), 0.04)])
def test_black_frames_are_refused(black):
    with pytest.raises(DataError, match="entirely black"):
        find_square(black)


def test_a_black_frame_with_noise_is_refused():
    noise = np.abs(np.random.default_rng(0).normal(scale=0.01, size=(480, 640, 3)))
    with pytest.raises(DataError, match="entirely black"):
        find_square(noise)


@pytest.mark.parametrize("size", [64, 32])
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_reads_pictures_of_any_size(tmp_path, size, kind):
    for number, (height, width) in enumerate([(480, 640), (90, 90), (20, 30)]):
        picture = frame(height, width, 0.4 * min(height, width), height / 2, width / 2)
        sample = Otoscopy(size=size).read(saved(tmp_path, picture, kind))
        assert sample.shape == (3, size, size), number
        assert sample.dtype == np.float32
        assert sample.min() >= 0
        assert sample.max() <= 1
        assert sample[0, size // 2, size // 2] > 0.4
        assert sample[:, 0, 0].max() < 0.1


def test_reading_keeps_the_mean_and_does_not_alias(tmp_path):
    stripes = np.zeros((512, 512, 3), dtype=np.float32)
    stripes[:, ::2] = 1  # every second column: a sampler that does not average would see one of the two
    sample = Otoscopy().read(saved(tmp_path, stripes))
    np.testing.assert_allclose(sample, 0.5, atol=0.03)


def test_reading_counts_pictures_without_a_surround(tmp_path):
    otoscopy = Otoscopy(size=16)
    otoscopy.read(saved(tmp_path, np.full((20, 30, 3), 0.5)))
    otoscopy.read(saved(tmp_path, frame()))
    assert otoscopy.notes == {"cropped to the center, without a dark surround": 1}


def test_what_is_written_is_read_back(tmp_path):
    otoscopy = Otoscopy()
    sample = torch.from_numpy(frame(64, 64, 20, 30, 30).transpose(2, 0, 1))
    otoscopy.write(sample, tmp_path / "sample.png")
    np.testing.assert_allclose(otoscopy.read(tmp_path / "sample.png"), sample, atol=0.5 / 255 + 1e-6)


def test_reads_arrays(tmp_path):
    sample = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
    np.save(tmp_path / "sample.npy", sample)
    assert (Otoscopy().read(tmp_path / "sample.npy") == sample).all()


@pytest.mark.parametrize(("height", "width"), [(480, 640), (64, 64)])
def test_reading_a_black_picture_is_an_error(tmp_path, height, width):
    with pytest.raises(DataError, match="entirely black"):
        Otoscopy().read(saved(tmp_path, np.zeros((height, width, 3))))


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.99), st.sampled_from(["PNG", "JPEG"]))
def test_a_picture_cut_short_is_an_error(tmp_path_factory, share, kind):
    content = bytes_of(frame(120, 160, 50, 60, 80), kind)
    path = tmp_path_factory.mktemp("cut") / "picture.png"
    path.write_bytes(content[: int(share * (len(content) - 20))])
    with pytest.raises(DataError, match="image"):
        Otoscopy().read(path)


def test_a_missing_file_is_left_to_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError):
        Otoscopy().read(tmp_path / "nowhere.png")


@pytest.fixture
def batch():
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


ALL = {"size": 32, "width": 4, "flip": 0.5, "rotate": 0.5, "erase": 0.5}


@pytest.mark.parametrize("erase_target", [False, True])
@pytest.mark.parametrize("method", ["augment", "corrupt"])
def test_augmentation_repeats_by_seed_and_leaves_its_input(batch, method, erase_target):
    before = batch.clone()
    results = []
    for seed in (1, 1, 2):
        change = getattr(Otoscopy(**ALL, erase_target=erase_target), method)
        torch.manual_seed(seed)
        results.append(change(batch))
    assert torch.equal(batch, before)
    assert all(result.shape == batch.shape and result.dtype == batch.dtype for result in results)
    assert all(result.min() >= 0 and result.max() <= 1 for result in results)
    assert torch.equal(results[0], results[1])
    if not (method == "corrupt" and erase_target):
        assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("erase_target", [False, True])
def test_probability_zero_changes_nothing(batch, erase_target):
    otoscopy = Otoscopy(size=32, flip=0, rotate=0, erase=0, erase_target=erase_target)
    assert torch.equal(otoscopy.augment(batch), batch)
    assert torch.equal(otoscopy.corrupt(batch), batch)


def test_a_rotation_by_no_degrees_changes_nothing(batch):
    assert torch.equal(Otoscopy(size=32, flip=0, rotate=1, degrees=0).augment(batch), batch)


def test_flips_left_and_right(batch):
    otoscopy = Otoscopy(size=32, flip=1, rotate=0)
    assert torch.equal(otoscopy.augment(batch), batch.flip(3))
    assert torch.equal(otoscopy.augment(otoscopy.augment(batch)), batch)


def test_rotates_within_the_degrees():
    rows, columns = np.mgrid[:65, :65] - 32.0
    blob = np.exp(-((rows**2 + (columns - 20) ** 2) / 18))
    batch = torch.from_numpy(blob).float().expand(200, 3, 65, 65)
    torch.manual_seed(0)
    turned = Otoscopy(size=65, flip=0, rotate=1, degrees=20).augment(batch)[:, 0].numpy()
    mass = turned.sum((1, 2))
    angles = np.degrees(np.arctan2((turned * -rows).sum((1, 2)) / mass, (turned * columns).sum((1, 2)) / mass))
    assert abs(angles).max() <= 20.1
    assert angles.min() < -17
    assert angles.max() > 17
    assert abs(angles.mean()) < 3


def test_each_picture_has_its_own_draw(batch):
    torch.manual_seed(0)
    same = batch[:1].expand(64, -1, -1, -1)
    flipped = (Otoscopy(size=32, flip=0.5, rotate=0).augment(same) != same).flatten(1).any(1)
    erased = (Otoscopy(size=32, erase=0.5).corrupt(same) != same).flatten(1).any(1)
    assert 15 < flipped.sum() < 49
    assert 15 < erased.sum() < 49


def test_erases_a_rectangle_of_the_papers_size(batch):
    torch.manual_seed(0)
    ones = torch.ones(200, 3, 64, 64)
    erased = Otoscopy(erase=1).corrupt(ones)
    assert torch.equal(erased[:, 0], erased[:, 2])
    gone = 1 - erased[:, 0]
    rows, columns = gone.amax(2).sum(1), gone.amax(1).sum(1)
    assert torch.equal(rows * columns, gone.sum((1, 2)))
    share = gone.mean((1, 2))
    assert 0.01 < share.min() < 0.08
    assert 0.3 < share.max() < 0.42


def test_erasing_leaves_the_target_unless_told(batch):
    given_alone = Otoscopy(size=32, flip=0, rotate=0, erase=1)
    assert torch.equal(given_alone.augment(batch), batch)
    assert not torch.equal(given_alone.corrupt(batch), batch)
    together = Otoscopy(size=32, flip=0, rotate=0, erase=1, erase_target=True)
    assert (together.augment(batch) == 0).flatten(1).any(1).all()
    assert together.corrupt(batch) is batch


@pytest.mark.parametrize("erase_target", [False, True])
def test_an_empty_batch_stays_empty(erase_target):
    otoscopy = Otoscopy(**ALL, erase_target=erase_target)
    assert otoscopy.augment(torch.zeros(0, 3, 32, 32)).shape == (0, 3, 32, 32)
    assert otoscopy.corrupt(torch.zeros(0, 3, 32, 32)).shape == (0, 3, 32, 32)


def test_loss_is_one_minus_ssim():
    rng = torch.Generator().manual_seed(0)
    logits, target = torch.randn(3, 3, 64, 64, generator=rng), torch.rand(3, 3, 64, 64, generator=rng)
    expected = [
        1
        - structural_similarity(
            torch.sigmoid(a).numpy(),
            b.numpy(),
            channel_axis=0,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(logits, target, strict=True)
    ]
    np.testing.assert_allclose(Otoscopy().reconstruction_loss(logits, target), expected, atol=1e-5)


def test_has_the_papers_networks():
    otoscopy = Otoscopy()
    assert sum(p.numel() for p in otoscopy.encoder().parameters()) == 8_618_432
    assert sum(p.numel() for p in otoscopy.decoder(128).parameters()) == 9_533_875


@pytest.mark.parametrize("network", ["residual", "compact"])
def test_networks_fit_the_shape(network):
    otoscopy = Otoscopy(size=32, width=4, network=network)
    assert otoscopy.encoder()(torch.zeros(2, 3, 32, 32)).shape[0] == 2
    decoded = otoscopy.decoder(5)(torch.zeros(2, 5))
    assert otoscopy.observe(decoded).shape == (2, *otoscopy.shape)
    assert otoscopy.reconstruction_loss(decoded, torch.zeros(2, 3, 32, 32)).shape == (2,)


def test_configuration_is_complete_and_comes_back():
    otoscopy = Otoscopy(size=32, flip=0.25)
    assert otoscopy.configuration == {
        "name": "otoscopy",
        "size": 32,
        "width": 64,
        "network": "residual",
        "loss": {"ssim": 1.0},
        "flip": 0.25,
        "rotate": 1.0,
        "degrees": 20.0,
        "erase": 0.5,
        "erase_target": False,
    }
    otoscopy.augment(torch.rand(2, 3, 32, 32))  # a copy must survive what augmentation keeps
    assert type(otoscopy).of(otoscopy.configuration).configuration == otoscopy.configuration
    assert isinstance(Otoscopy.of(otoscopy), Part)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flip": 1.5}, "'flip'.*less than or equal to 1"),
        ({"erase": -0.1}, "'erase'.*greater than or equal to 0"),
        ({"degrees": 200}, "'degrees'"),
        ({"size": 0}, "'size'"),
        ({"size": 8}, "'ssim' needs at least 11 pixels"),
        ({"rotation": 0.5}, "no setting 'rotation'.*'rotate'"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        Otoscopy(**wrong)


def test_importing_and_training_raise_no_warning():
    code = (
        "import torch; from multimodal_vae_otoscopy import Otoscopy; o = Otoscopy(size=16);"
        "torch.set_num_threads(1); o.corrupt(o.augment(torch.rand(2, 3, 16, 16)))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
