"""Files that pydicom ships, and variants of them; pydicom's own functions are the reference."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.pixels import apply_modality_lut, apply_windowing
from pydicom.uid import DeflatedExplicitVRLittleEndian

import multimodal_vae as mv
from multimodal_vae_dicom import DICOM, picture

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
CT = SHIPPED / "CT_small.dcm"


def part(size=(128, 128), **settings):
    return DICOM(**{"size": size, "width": 4, **settings})


def changed(path, name="CT_small.dcm", **elements):
    data = pydicom.dcmread(SHIPPED / name)
    for keyword, value in elements.items():
        if value is None:
            del data[keyword]
        else:
            setattr(data, keyword, value)
    data.save_as(path)
    return path


def test_a_window_is_in_hounsfield_units():
    units = apply_modality_lut(pydicom.dcmread(CT).pixel_array, pydicom.dcmread(CT))
    assert units.min() < 0
    read = part(window=(-100.0, 300.0)).read(CT)
    np.testing.assert_allclose(read[0], ((units + 100) / 400).clip(0, 1), atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_files_own_window_is_pydicoms(tmp_path, function):
    path = changed(tmp_path / "a.dcm", WindowCenter=40.0, WindowWidth=300.0, VOILUTFunction=function)
    data = pydicom.dcmread(path)
    shown = apply_windowing(apply_modality_lut(data.pixel_array, data), data)
    low, high = -1024.0, 2.0**16 - 1 - 1024.0  # the range of the stored values, rescaled, to which pydicom maps
    if data.PixelRepresentation:
        low, high = -(2.0**15) - 1024.0, 2.0**15 - 1 - 1024.0
    np.testing.assert_allclose(part().read(path)[0], (shown - low) / (high - low), atol=1e-4)


def test_without_a_window_the_range_of_the_values_is_taken_and_noted():
    modality = part()
    read = modality.read(CT)
    assert (read.min(), read.max()) == (0, 1)
    assert list(modality.notes) == ["no window in the file, taken from the lowest to the highest value"]


def test_monochrome1_is_white_where_it_is_lowest(tmp_path):
    path = changed(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(part().read(path), 1 - part().read(CT), atol=1e-6)


def test_colors_of_all_encodings_are_one_picture():
    modality = part((100, 100), channels=3)
    first, *others = (modality.read(SHIPPED / f"SC_rgb_{name}.dcm") for name in ("rle", "rle_16bit", "rle_32bit"))
    for other in others:
        np.testing.assert_allclose(other, first, atol=1 / 255)
    for name in ("dcmtk_+eb+cy+np", "gdcm_KY", "jpeg_lossy_gdcm"):
        read = modality.read(SHIPPED / f"SC_rgb_{name}.dcm")
        colors = pydicom.dcmread(SHIPPED / f"SC_rgb_{name}.dcm").pixel_array  # in RGB
        np.testing.assert_allclose(read, colors.transpose(2, 0, 1) / 255, atol=1e-6)
    gray = part((100, 100)).read(SHIPPED / "SC_rgb_dcmtk_+eb+cr.dcm")
    expected = part((100, 100), channels=3).read(SHIPPED / "SC_rgb_dcmtk_+eb+cr.dcm")
    np.testing.assert_allclose(gray[0], np.tensordot(picture.LUMINANCE, expected, 1), atol=1e-6)


def test_a_palette_gives_colors_and_gray_three_channels():
    palette = part((24, 32), channels=3).read(SHIPPED / "examples_palette.dcm")
    assert np.ptp(palette, 0).max() > 0.1
    gray = part((16, 16), channels=3).read(CT)
    np.testing.assert_array_equal(gray[0], gray[2])


def test_a_cell_names_a_frame(tmp_path):
    cell = f"{SHIPPED / 'SC_rgb_rle_2frame.dcm'}#frame="
    modality = part((100, 100), channels=3)
    first, second = modality.read(cell + "1"), modality.read(cell + "2")
    np.testing.assert_allclose(second, 1 - first, atol=1e-6)
    assert modality.files(cell + "2") == [SHIPPED / "SC_rgb_rle_2frame.dcm"]
    with pytest.raises(mv.DataError, match="has 2 frames, and frame 3 is wanted"):
        modality.read(cell + "3")
    with pytest.raises(mv.DataError, match=r"has 2 frames; name one in the cell, as 'file.dcm#frame=1'"):
        modality.read(cell.removesuffix("#frame="))


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_bigendian", "MR_small_implicit", "MR_small_jp2klossless"])
def test_lossless_transfer_syntaxes_give_equal_samples(name):
    expected = part((64, 64)).read(SHIPPED / "MR_small.dcm")
    np.testing.assert_array_equal(part((64, 64)).read(SHIPPED / f"{name}.dcm"), expected)


REFUSED = {
    "MR_small_jpeg_ls_lossless.dcm": "as 'JPEG-LS Lossless.*no installed decoder reads; pip install pylibjpeg",
    "JPGExtended.dcm": "compressed as 'JPEG Extended.*no installed decoder reads",
    "MR_truncated.dcm": "is a damaged DICOM file .*less than expected",
    "test-SR.dcm": "holds no picture .its modality is 'SR'.; leave its cell empty",
    "rtplan.dcm": "holds no picture",
    "no_meta.dcm": "does not begin as a DICOM file",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shown_is_refused_in_one_line(name):
    with pytest.raises(mv.DataError, match=REFUSED[name]) as caught:
        part().read(SHIPPED / name)
    assert "\n" not in str(caught.value)


def test_every_shipped_file_is_read_or_refused():
    modality, said = part((16, 16), channels=3), []
    for path in SHIPPED.glob("*.dcm"):
        if path.stat().st_size < 100_000:  # the larger ones are alike
            try:
                read = modality.read(path)
            except mv.DataError as error:
                said.append(str(error))
            else:
                modality.check(torch.as_tensor(read.copy())[None])
    assert len(said) > 10
    assert not [words for words in said if "\n" in words]


def test_claims_and_bombs_are_refused(tmp_path, monkeypatch):
    path = changed(tmp_path / "a.dcm", Rows=60_000, Columns=60_000)
    with pytest.raises(mv.DataError, match="states 60000 x 60000 pixels"):
        part().read(path)
    data = pydicom.dcmread(CT)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(tmp_path / "b.dcm")
    with pytest.raises(mv.DataError, match="is deflated; convert it"):
        part().read(tmp_path / "b.dcm")
    monkeypatch.setattr(picture, "LARGEST_RLE", 1000)
    with pytest.raises(mv.DataError, match="more than 1,000 bytes in run-length encoding"):
        part().read(SHIPPED / "MR_small_RLE.dcm")


def test_burned_in_text_is_noted_and_a_constant_picture_refused(tmp_path):
    modality = part()
    modality.read(changed(tmp_path / "a.dcm", BurnedInAnnotation="YES"))
    assert "text is burned into the image, which may name the patient" in modality.notes
    with pytest.raises(mv.DataError, match="everywhere; leave its cell empty"):
        part().read(changed(tmp_path / "b.dcm", PixelData=bytes(2 * 128 * 128)))


def test_another_size_is_resized_or_refused():
    assert part((20, 30)).read(CT).shape == (1, 20, 30)
    with pytest.raises(mv.DataError, match='has 128 x 128 pixels; set resize = "crop" or "pad"'):
        part((20, 30), resize=None).read(CT)


def test_image_files_are_read_as_images(tmp_path):
    modality = part((8, 8))
    sample = modality.examples(1)[0]
    modality.write(sample, tmp_path / "a.png")
    np.testing.assert_allclose(modality.read(tmp_path / "a.png"), sample, atol=1 / 255)
