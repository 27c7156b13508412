"""Files that nibabel ships, and files that nibabel writes; nibabel's own resampling is the reference."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.processing import resample_from_to

import multimodal_vae as mv
from multimodal_vae_nifti import NIfTI, scan

SHIPPED = Path(nib.__file__).parent / "tests" / "data"
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def save(path, values, affine=AFFINE, **header):
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    block = nib.Nifti1Header(content[:348])
    for field, value in header.items():
        block[field] = value
    content = block.binaryblock + content[348:]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def part(**settings):
    return NIfTI(**{"size": (5, 4, 3), "voxel": (2.0, 2.0, 2.0), "width": 4, "window": (0.0, 1.0), **settings})


@pytest.fixture
def values():
    return np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SRA", "AIL", "PLI"])
def test_every_orientation_gives_the_same_sample(tmp_path, values, axes):
    image = nib.Nifti1Image(values, AFFINE)
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes))
    )
    assert "".join(nib.aff2axcodes(turned.affine)) == axes
    nib.save(turned, tmp_path / "a.nii.gz")
    read = part().read(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read[0], values.transpose(2, 1, 0), atol=1e-6)  # superior, anterior, right


def test_an_oblique_scan_is_resampled_as_by_nibabel(tmp_path):
    image = nib.load(SHIPPED / "anatomical.nii")
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.2, -0.1, 0.3))
    image = nib.Nifti1Image(image.get_fdata().astype(np.float32), turn @ image.affine)
    nib.save(image, tmp_path / "a.nii")
    modality = part(size=(20, 24, 22), voxel=(4.0, 3.5, 3.0), window=(0.0, float(image.get_fdata().max())))
    read = modality.read(tmp_path / "a.nii")[0]
    center = image.affine @ np.array([*((np.array(image.shape) - 1) / 2), 1])
    affine = np.diag([3.0, 3.5, 4.0, 1.0])
    affine[:3, 3] = center[:3] - affine[:3, :3] @ ((np.array([22, 24, 20]) - 1) / 2)
    ratio = np.array([3.0, 3.5, 4.0]) / np.array(image.header.get_zooms())
    assert (ratio < 4).all()
    reference = resample_from_to(image, ((22, 24, 20), affine), order=1).get_fdata().T / modality.window[1]
    # The reference does not average over what a new voxel covers.
    assert np.corrcoef(read.ravel(), reference.ravel())[0, 1] > 0.97
    assert abs(read.mean() - reference.mean()) < 0.01


def test_averages_keep_what_a_voxel_covers(tmp_path):
    fine = np.zeros((24, 24, 24), np.float32)
    fine[12:] = 1  # the right half
    path = save(tmp_path / "a.nii", fine, np.diag([1.0, 1.0, 1.0, 1.0]))
    read = part(size=(4, 4, 4), voxel=(6.0, 6.0, 6.0)).read(path)[0]
    np.testing.assert_allclose(read[..., 0], 0, atol=0.02)
    np.testing.assert_allclose(read[..., 3], 1, atol=0.02)
    np.testing.assert_allclose(read[1:3].mean(), 0.5, atol=0.01)


@pytest.mark.parametrize("name", ["anatomical.nii", "standard.nii.gz", "reoriented_anat_moved.nii"])
def test_shipped_scans_are_read(name):
    modality = part(size=(8, 8, 8), voxel=(16.0, 16.0, 16.0) if "anat" in name else (1.0, 1.0, 1.0), window=None)
    read = torch.as_tensor(modality.read(SHIPPED / name))
    modality.check(read[None])
    assert read.std() > 0


def test_a_series_is_refused_unless_its_volumes_are_channels():
    with pytest.raises(
        mv.DataError, match="holds 20 volumes, 17 x 21 x 3 x 20, and the setting 'channels' is 1; save one of them"
    ):
        part().read(SHIPPED / "functional.nii")
    with pytest.raises(mv.DataError, match="holds 2 volumes, 128 x 96 x 24 x 2"):
        part().read(SHIPPED / "example4d.nii.gz")
    read = part(channels=2, window=None, size=(6, 6, 6), voxel=(20.0,) * 3).read(SHIPPED / "example4d.nii.gz")
    assert read.shape == (2, 6, 6, 6)
    assert (read[0] != read[1]).any()


def test_the_scale_of_the_header_and_the_window_are_applied(tmp_path, values):
    counts = (1000 * values).astype(np.int16)
    image = nib.Nifti1Image(counts, AFFINE)
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii").get_fdata()
    read = part(window=(-1000.0, 400.0)).read(tmp_path / "a.nii")[0]
    np.testing.assert_allclose(read, ((stored + 1000) / 1400).clip(0, 1).T, atol=1e-5)
    low, high = np.quantile(stored, [0.005, 0.995])
    read = part(window=None).read(tmp_path / "a.nii")[0]
    np.testing.assert_allclose(read, ((stored - low) / (high - low)).clip(0, 1).T, atol=1e-4)


def test_lengths_in_meters_and_microns_are_obeyed_and_none_is_noted(tmp_path, values):
    for code, scale in ((1, 1e-3), (3, 1e3), (0, 1.0)):
        modality = part()
        path = save(tmp_path / "a.nii", values, np.diag([2 * scale] * 3 + [1.0]), xyzt_units=code)
        np.testing.assert_allclose(modality.read(path)[0], values.T, atol=1e-5)
        assert bool(modality.notes) == (code == 0)


def test_outside_a_mask_is_zero_and_the_grid_lies_around_it(tmp_path):
    values = np.full((6, 6, 6), 0.5, np.float32)
    inside = np.zeros((6, 6, 6), np.uint8)
    inside[4:, 3:6, 2:5] = 1
    path = save(tmp_path / "a.nii.gz", values)
    save(tmp_path / "a_brain.nii.gz", inside)
    modality = part(mask="_brain", size=(5, 5, 4))
    assert modality.files(path) == [path, tmp_path / "a_brain.nii.gz"]
    expected = np.zeros((5, 5, 4))
    expected[1:4, 1:4, 1:3] = 0.5
    np.testing.assert_allclose(modality.read(path)[0], expected, atol=1e-6)


def test_a_written_sample_lies_upright_in_other_programs(tmp_path):
    modality = part(channels=1)
    sample = modality.examples(1)[0]
    modality.write(sample, tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header.get_zooms() == modality.voxel[::-1]
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), sample[0].numpy().T)


def without_orientation(path, values):
    return save(path, values, qform_code=0, sform_code=0)


def mirrored(path, values):
    image = nib.Nifti1Image(values, AFFINE)
    image.set_qform(np.diag([-2.0, 2, 2, 1]), 1)
    image.set_sform(AFFINE, 1)
    nib.save(image, path)
    return path


FAULTS = {
    "no orientation": (without_orientation, "states no orientation .* so left may be right"),
    "two orientations": (mirrored, "differ in left and right; remove the wrong one"),
    "no spacing": (lambda p, v: save(p, v, srow_x=0), "states voxels of 0 x 2 x 2 mm"),
    "flat axes": (
        lambda p, v: save(p, v, np.array([[2.0, 2, 0, 0], [0, 0.01, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])),
        "not at right angles",
    ),
    "complex": (lambda p, v: save(p, v.astype(np.complex64)), "values of type complex64"),
    "two axes": (lambda p, v: save(p, v[..., 0]), "has 2 axes, 3 x 4; a scan has three"),
    "constant": (lambda p, v: save(p, 0 * v), "is 0 nearly everywhere; set 'window'"),
    "tiny": (lambda p, v: save(p, v, np.diag([0.2, 0.2, 0.2, 1])), "covers .* of the grid of 10 x 8 x 6 mm"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_scan_without_a_place_in_space_or_without_values_is_refused(tmp_path, values, fault):
    make, words = FAULTS[fault]
    with pytest.raises(mv.DataError, match=words) as caught:
        part(window=None).read(make(tmp_path / "a.nii", values))
    assert "\n" not in str(caught.value)


def test_a_mask_that_is_missing_empty_or_elsewhere_is_refused(tmp_path, values):
    path = save(tmp_path / "a.nii", values)
    masked = part(mask="_mask")
    with pytest.raises(mv.DataError, match=r"has no mask 'a_mask.nii' beside it"):
        masked.read(path)
    for content, affine, words in (
        (0 * values, AFFINE, "that is empty"),
        (values, 3 * AFFINE, "on another grid"),
        (values[:2], AFFINE, "on another grid"),
    ):
        save(tmp_path / "a_mask.nii", content, affine)
        with pytest.raises(mv.DataError, match=f"has a mask 'a_mask.nii' {words}"):
            masked.read(path)


def test_values_that_are_not_finite_are_noted(tmp_path, values):
    values[0, 0, 0] = np.nan
    modality = part()
    assert modality.read(save(tmp_path / "a.nii", values))[0, 0, 0, 0] == pytest.approx(np.nanmin(values))
    assert list(modality.notes) == ["voxels that are not finite, taken as the lowest value"]


@pytest.mark.parametrize("name", ["analyze.hdr", "nifti1.hdr", "test.mgz", "small.mnc", "row_major.dconn.nii"])
def test_other_formats_are_refused_in_one_line(name):
    with pytest.raises(mv.DataError) as caught:
        part().read(SHIPPED / name)
    assert "\n" not in str(caught.value)


def test_bombs_and_claims_are_refused_in_bounded_memory(tmp_path, values, monkeypatch):
    monkeypatch.setattr(scan, "LARGEST", 10_000)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(20_000)))
    with pytest.raises(mv.DataError, match="unpacks to more than 10,000 bytes"):
        part().read(tmp_path / "a.nii.gz")
    path = save(tmp_path / "b.nii", values, dim=[3, 30_000, 30_000, 30_000, 1, 1, 1, 1])
    with pytest.raises(mv.DataError, match="has 30000 x 30000 x 30000 voxels"):
        part().read(path)


def test_a_window_must_rise():
    with pytest.raises(mv.ConfigurationError, match="give the lower value first"):
        part(window=(1.0, 1.0))
