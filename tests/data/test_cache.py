"""Cached samples are not read again, are never stale, and equal those read without a cache."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae import provenance
from multimodal_vae.data import cache, loading


@pytest.fixture(autouse=True)
def _settled(monkeypatch):
    """Trust files that changed just now, and sources that changed since their import."""
    monkeypatch.setattr(cache, "SETTLED", 0.0)
    monkeypatch.setattr(provenance, "STARTED", float("inf"))


@pytest.fixture
def reads(monkeypatch):
    """Counts of reads in this process, by file name or value."""
    counts = Counter()
    for part in (mv.Image, mv.Vector):

        def counted(self, cell, read=part.read):
            counts[getattr(cell, "name", cell)] += 1
            return read(self, cell)

        monkeypatch.setattr(part, "read", counted)
    return counts


def load(manifest, columns, **arguments):
    return mv.MultimodalDataset.from_manifest(manifest, columns, **{"workers": 0} | arguments)


def same(one, other):
    assert one.fingerprint() == other.fingerprint()
    assert one.notes == other.notes
    rows = torch.arange(len(one)).flip(0)
    for name, x in one.batch(rows).samples.items():
        assert torch.equal(x, other.batch(rows).samples[name])
    for name, x in one.samples.items():
        assert torch.equal(x, other.samples[name])


def test_a_second_time_nothing_is_read(manifest, columns, reads):
    first = load(manifest, columns)
    assert sum(reads.values()) == 48
    reads.clear()
    second = load(manifest, columns)
    assert not reads
    same(first, second)
    same(second, load(manifest, columns, cache=False))
    assert (manifest.parent / ".mmvae_cache" / ".gitignore").read_text() == "*\n"


def test_switched_off_nothing_is_left(manifest, columns):
    load(manifest, columns, cache=False)
    assert sorted(path.name for path in manifest.parent.iterdir()) == ["manifest.csv", "pictures"]


def test_another_folder_may_be_given(manifest, columns, tmp_path, reads):
    load(manifest, columns, cache=tmp_path / "there")
    assert not (manifest.parent / ".mmvae_cache").exists()
    reads.clear()
    load(manifest, columns, cache=str(tmp_path / "there"))
    assert not reads


def test_only_new_rows_are_read_whatever_the_order(manifest, columns, reads):
    load(manifest, columns)
    head, *lines = manifest.read_text().splitlines()
    shutil.copy(manifest.parent / "pictures" / "3.png", manifest.parent / "new.png")
    manifest.write_text("\n".join([head, "new,p0,ill,new.png,9 9 9,there", *reversed(lines)]) + "\n")
    reads.clear()
    gained = load(manifest, columns)
    assert reads == {"new.png": 1, "9 9 9": 1}
    same(gained, load(manifest, columns, cache=False))


def change(path, how):
    before = path.stat()
    if how == "content":
        Pillow.fromarray(np.full((8, 8), 7, np.uint8)).save(path)
    elif how == "content of the same length and time":
        content = bytearray(path.read_bytes())
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif how == "another file of the same time":
        other = path.with_name("other.png")
        Pillow.fromarray(np.full((8, 8), 7, np.uint8)).save(other)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)
    elif how == "an older file":
        path.write_bytes(path.with_name("1.png").read_bytes())
        os.utime(path, ns=(0, 0))


@pytest.mark.parametrize(
    "how", ["content", "content of the same length and time", "another file of the same time", "an older file"]
)
def test_a_file_that_changed_is_read_anew(manifest, columns, reads, how):
    load(manifest, columns)
    change(manifest.parent / "pictures" / "0.png", how)
    reads.clear()
    data = load(manifest, columns)
    assert reads == {"0.png": 1}
    same(data, load(manifest, columns, cache=False))


def test_a_file_that_may_still_change_within_a_tick_is_not_trusted(manifest, columns, reads, monkeypatch):
    monkeypatch.setattr(cache, "SETTLED", 3600.0)
    same(load(manifest, columns), load(manifest, columns, cache=False))
    reads.clear()
    load(manifest, columns)
    assert len(reads) == 24  # the images; values have no file that could change


def test_a_file_that_changes_while_it_is_read_is_not_trusted(manifest, columns, monkeypatch):
    plain = mv.Image.read

    def changing(self, cell):
        sample = plain(self, cell)
        if cell.name == "0.png":
            change(cell, "content")
        return sample

    with monkeypatch.context() as patched:
        patched.setattr(mv.Image, "read", changing)
        load(manifest, columns)
    same(load(manifest, columns), load(manifest, columns, cache=False))


@pytest.mark.parametrize("change", ["setting", "behavior", "source", "version"])
def test_another_way_of_reading_reads_anew(manifest, columns, reads, monkeypatch, change):
    load(manifest, columns)
    reads.clear()
    if change == "setting":
        columns = columns | {"photo": columns["photo"] | {"width": 8}}
    elif change == "behavior":
        monkeypatch.setattr(mv.Image, "behavior_version", 2)
    elif change == "source":
        monkeypatch.setattr(provenance, "_sources", lambda _: [manifest])
    elif change == "version":
        monkeypatch.setattr(provenance, "version_of", lambda _: "99")
    load(manifest, columns)
    assert sum(name.endswith(".png") for name in reads) == 24


def test_code_that_changed_since_the_session_began_keeps_nothing(manifest, columns, reads, monkeypatch):
    monkeypatch.setattr(provenance, "STARTED", 0.0)
    first = load(manifest, columns)
    reads.clear()
    same(load(manifest, columns), first)
    assert sum(reads.values()) == 48


class Halved(mv.Vector):
    def read(self, cell):
        self.notes["halved"] += 1
        return super().read(cell) / 2


def test_a_class_of_the_session_is_read_each_time_and_kept_in_files_without_names(manifest, columns, reads):
    columns = columns | {"blood": Halved(size=3, hidden=8)}
    first = load(manifest, columns, workers=4)
    same(first, load(manifest, columns, cache=False))
    reads.clear()
    same(first, load(manifest, columns))
    assert sum(reads.values()) == 24
    assert first.notes == {"blood": {"halved": 24}}


def test_notes_come_back_from_the_cache(manifest, columns, monkeypatch):
    plain = mv.Vector.read

    def noting(self, cell):
        self.notes["seen"] += 2
        return plain(self, cell)

    monkeypatch.setattr(mv.Vector, "read", noting)
    assert load(manifest, columns).notes == {"blood": {"seen": 48}}
    monkeypatch.setattr(mv.Vector, "read", plain)
    assert load(manifest, columns).notes == {"blood": {"seen": 48}}


@given(damage=st.sampled_from(["cut samples", "cut index", "garbage", "no samples", "empty"]), where=st.floats(0, 1))
def test_whatever_a_killed_process_left_is_taken_only_as_far_as_it_is_whole(tmp_path_factory, damage, where):
    folder = tmp_path_factory.mktemp("damaged")
    values = [f"{n} {n + 0.5}" for n in range(12)]
    (folder / "m.csv").write_text("\n".join(["sample_id,label,x", *(f"{v},a,{v}" for v in values)]) + "\n")
    columns = {"x": {"name": "vector", "size": 2}}
    load(folder / "m.csv", columns)
    (index,) = folder.glob(".mmvae_cache/*/*.jsonl")
    path = index if damage in ("cut index", "garbage") else index.with_suffix(".samples")
    content = path.read_bytes()
    cut = round(where * len(content))
    if damage == "no samples":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(content[:cut] + b"\x00{]\xff" + content[cut:])
    else:
        path.write_bytes(b"" if damage == "empty" else content[:cut])
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mv.MultimodalVAEWarning)  # says what is read anew
            found = load(folder / "m.csv", columns)
        same(found, load(folder / "m.csv", columns, cache=False))


def test_files_cut_short_while_in_use_are_an_error(manifest, columns):
    data = load(manifest, columns)
    for path in manifest.parent.glob(".mmvae_cache/*/*.samples"):
        path.write_bytes(b"")
    with pytest.raises(mv.DataError, match=r"\.samples is truncated"):
        data.batch(torch.tensor([0]))
    shutil.rmtree(manifest.parent / ".mmvae_cache")
    with pytest.raises(mv.DataError, match=r"cannot read .*\.samples"):
        data.batch(torch.tensor([0]))


def test_where_nothing_can_be_written_samples_are_in_memory_with_a_warning(manifest, columns):
    (manifest.parent / ".mmvae_cache").write_text("in the way")
    with pytest.warns(mv.MultimodalVAEWarning, match="cannot write .*stay in memory"):
        data = load(manifest, columns)
    same(data, load(manifest, columns, cache=False))
    with pytest.raises(mv.DataError, match=r"cannot write the cache"):
        load(manifest, columns, cache=manifest)


def test_a_training_is_that_of_data_in_memory(manifest, columns, tmp_path):
    weights = []
    for kept in (None, False):
        train, validation, _ = load(manifest, columns, cache=kept).split(0.6, 0.2, 0.2)
        vae = mv.MultimodalVAE(train.modalities, train.classes, latent_dim=3, seed=0)
        mv.fit(vae, train, validation, epochs=2, per_class=3, device="cpu", show=False)
        weights.append(vae.state_dict() | {"latents": vae.embed(validation)})
    assert all(torch.equal(x, weights[1][name]) for name, x in weights[0].items())


def test_a_whole_column_is_a_map_that_may_be_changed_and_leaves_the_cache_alone(manifest, columns):
    data = load(manifest, columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = data.subset([5, 3])
        part.samples["photo"][0] += 1
    assert part.batch(torch.tensor([0])).samples["photo"].max() >= 1  # the changed tensor is used
    same(data, load(manifest, columns, cache=False))
    same(load(manifest, columns), load(manifest, columns, cache=False))


KILLED = """
import sys, time
import multimodal_vae as mv
from multimodal_vae import provenance
from multimodal_vae.data import cache
provenance.STARTED, cache._COMMIT = float("inf"), 0.05
plain = mv.Image.read
def slow(self, cell):
    time.sleep(0.02)
    print(cell.name, flush=True)
    return plain(self, cell)
mv.Image.read = slow
mv.MultimodalDataset.from_manifest(sys.argv[1], {"photo": {"name": "image", "size": [8, 8], "channels": 1, "width": 4}},
                                   workers=0)
"""


def test_killed_within_the_first_pass_what_was_read_stays_read(manifest, columns, reads, tmp_path):
    lines = manifest.read_text().splitlines()
    with open(manifest, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(lines[0].split(","))
        for n in range(200):
            shutil.copy(manifest.parent / "pictures" / f"{n % 24}.png", manifest.parent / f"{n}.png")
            rows.writerow([f"s{n}", f"p{n}", "ill", f"{n}.png", "1 2 3", "here"])
    time.sleep(cache.SETTLED + 2.1)  # the other process has the unpatched value
    with open(tmp_path / "out", "w") as out:
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(manifest)], stdout=out)
        while len((tmp_path / "out").read_text().split()) < 60:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    was_read = len((tmp_path / "out").read_text().split())
    photo = {"photo": columns["photo"]}
    data = load(manifest, photo)
    assert sum(reads.values()) <= 200 - was_read + 10  # what was not on disk yet after fifty milliseconds
    same(data, load(manifest, photo, cache=False))


def test_every_unreadable_file_is_named_and_only_a_few_of_many(manifest, columns):
    for n in (2, 5):
        (manifest.parent / "pictures" / f"{n}.png").unlink()
    with pytest.raises(mv.DataError) as caught:
        load(manifest, columns)
    for words in ("2 cells", "line 4, sample 's2', photo", "2.png: there is no such file", "line 7", "5.png"):
        assert words in str(caught.value)
    for n in set(range(24)) - {2, 5}:
        (manifest.parent / "pictures" / f"{n}.png").write_bytes(b"")
    with pytest.raises(mv.DataError, match=r"24 cells cannot be read: .*; and 21 more$") as caught:
        load(manifest, columns)
    assert str(caught.value).count("line") == 3


def test_skipping_leaves_cells_out_and_rows_without_any(manifest, columns, reads):
    (manifest.parent / "pictures" / "2.png").unlink()
    text = manifest.read_text().splitlines()
    text.append("alone,p0,ill,pictures/none.png,,here")
    manifest.write_text("\n".join(text) + "\n")
    data = load(manifest, columns, unreadable="skip")
    assert len(data) == 24
    assert "alone" not in data.ids
    assert data.present[2].tolist() == [False, True]
    assert not data.batch(torch.tensor([2])).samples["photo"].any()
    assert data.notes == {"photo": {loading.SKIPPED: 2}, "sample_id": {loading.SKIPPED: 1}}
    with pytest.raises(mv.DataError, match=r"none\.png"):
        load(manifest, {"photo": columns["photo"]})
    for path in manifest.parent.glob("pictures/*"):
        path.unlink()
    with pytest.raises(mv.DataError, match="25 cells cannot be read"):
        load(manifest, {"photo": columns["photo"]}, unreadable="skip")


def test_a_configuration_says_where_and_a_run_goes_on_from_elsewhere(toml, reads, tmp_path):
    toml.write_text(toml.read_text().replace("[data]", '[data]\ncache = "kept"\nworkers = 0\nunreadable = "skip"'))
    configuration = mv.Configuration.read(toml)
    assert configuration.data.cache == toml.parent / "kept"
    from multimodal_vae.run import train_run

    train_run(configuration, tmp_path / "run", show=False)
    assert (toml.parent / "kept" / "CACHEDIR.TAG").exists()
    train_run(configuration.with_data(cache=False, workers=None), tmp_path / "run", show=False)
    toml.write_text(toml.read_text().replace('"kept"', "false"))
    assert mv.Configuration.read(toml).data.cache is False


def entries(manifest):
    """The files of samples in the cache, by the size of their rows."""
    return {path.stat().st_size // 24: path for path in manifest.parent.glob(".mmvae_cache/*/*.samples")}


def flip(path):
    content = bytearray(path.read_bytes())
    content[:4] = np.float32(0.5).tobytes()
    path.write_bytes(content)


def exchange(path):
    """Give two entries each other's rows."""
    lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    lines[0]["key"], lines[1]["key"] = lines[1]["key"], lines[0]["key"]
    path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def note(path):
    """Add a note to an entry."""
    lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    lines[0]["notes"] = {"clipped": 3}
    path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def link(path):
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def deep(path):
    path.with_suffix(".jsonl").write_text("[" * 10**5 + "\n")


def infinite(path):
    path.with_suffix(".jsonl").write_text('{"key": "", "notes": {"": Infinity}, "checksum": ""}\n')


@pytest.mark.parametrize("damage", [flip, exchange, note, cut, link, pipe, deep, infinite])
@pytest.mark.parametrize("size", [64 * 4, 3 * 4], ids=["files", "values"])
def test_what_does_not_match_its_checksum_is_read_anew_with_a_note(manifest, columns, reads, damage, size):
    load(manifest, columns)
    damage(entries(manifest)[size])
    with pytest.warns(mv.MultimodalVAEWarning, match="of the cache .* do not match their checksums, and are read anew"):
        found = load(manifest, columns)
    same(found, load(manifest, columns, cache=False))
    reads.clear()
    same(load(manifest, columns), found)
    assert not reads


def test_a_cache_that_comes_with_data_is_not_believed(manifest, columns, reads, tmp_path):
    """A copy, as from an archive, has other files, even if every byte, name and time of modification is the same."""
    load(manifest, columns)
    stranger = manifest.parent.rename(tmp_path / "stranger")
    shutil.copytree(stranger, manifest.parent)
    reads.clear()
    found = load(manifest, columns)
    assert sum(reads.values()) == 48
    same(found, load(manifest, columns, cache=False))


def canary(folder):
    """A folder of somebody's files, whose names, contents and times are compared."""
    return {path.relative_to(folder): (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes())
            for path in [folder, *folder.rglob("*")]}  # fmt: skip


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    return folder


def test_a_link_in_place_of_the_cache_is_not_followed(manifest, columns, elsewhere):
    (elsewhere / "mine").unlink()
    before = canary(elsewhere)
    (manifest.parent / ".mmvae_cache").symlink_to(elsewhere)
    with pytest.warns(mv.MultimodalVAEWarning, match="it is a link, which is not followed.*stay in memory"):
        load(manifest, columns)
    with pytest.raises(mv.DataError, match="it is a link"):
        load(manifest, columns, cache=manifest.parent / ".mmvae_cache")
    assert canary(elsewhere) == before


def test_nor_is_one_within_the_cache(manifest, columns, elsewhere):
    load(manifest, columns)
    before = canary(elsewhere)
    for folder in [path for path in (manifest.parent / ".mmvae_cache").iterdir() if path.is_dir()]:
        shutil.rmtree(folder)
        folder.symlink_to(elsewhere)
    with pytest.raises(mv.DataError, match=r"cannot write the cache .*: it is a link"):
        load(manifest, columns)
    assert canary(elsewhere) == before


@pytest.mark.parametrize("name", [".gitignore", "CACHEDIR.TAG"])
def test_nor_in_place_of_its_marks(manifest, columns, elsewhere, name):
    (manifest.parent / ".mmvae_cache").mkdir()
    (manifest.parent / ".mmvae_cache" / name).symlink_to(elsewhere / "mine")
    before = canary(elsewhere)
    with pytest.warns(mv.MultimodalVAEWarning, match="stay in memory"):
        load(manifest, columns)
    assert canary(elsewhere) == before


def test_a_folder_of_other_files_is_no_cache(manifest, columns, elsewhere):
    before = canary(elsewhere)
    with pytest.raises(mv.DataError, match="elsewhere: it holds other files than a cache"):
        load(manifest, columns, cache=elsewhere)
    assert canary(elsewhere) == before


def test_a_cache_of_a_killed_process_is_marked_anew(manifest, columns, reads, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "CACHEDIR.TAG").write_bytes(b"")
    load(manifest, columns, cache=tmp_path / "new")
    reads.clear()
    load(manifest, columns, cache=tmp_path / "new")
    assert not reads


def test_a_relative_cache_leads_through_no_link(toml, elsewhere):
    (toml.parent / "here").symlink_to(elsewhere)
    text = toml.read_text()
    toml.write_text(text.replace("[data]", '[data]\ncache = "here/new"'))
    with pytest.raises(mv.ConfigurationError, match="cache here/new leads through a link"):
        mv.Configuration.read(toml)
    toml.write_text(text.replace("[data]", '[data]\ncache = "here"'))
    with pytest.raises(mv.DataError, match="it is a link"):
        mv.Configuration.read(toml).read_data()


def test_a_strangers_run_does_not_say_where_a_cache_is_written(trained, elsewhere, tmp_path):
    configuration = trained / "config.toml"
    text = configuration.read_text("utf-8")
    for place in (elsewhere, tmp_path / "new"):
        configuration.write_text(text.replace("[data]", f'[data]\ncache = "{place}"'), "utf-8")
        before = canary(elsewhere)
        run = mv.open_run(trained)
        with pytest.warns(mv.MultimodalVAEWarning, match="names the cache .*; samples are cached beside the manifest"):
            assert len(run.data) == 24
        assert canary(elsewhere) == before
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("where", ["put", "close"])
def test_a_full_disk_is_one_line(manifest, columns, monkeypatch, where):
    if where == "put":
        monkeypatch.setattr(cache, "_COMMIT", 0.0)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(mv.DataError, match=r"cannot write .*samples: No space left on device") as caught:
        load(manifest, columns)
    assert "\n" not in str(caught.value)


def test_a_full_device_is_one_line(manifest, columns, monkeypatch):
    """Buffered bytes that closing cannot write raise the same error."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no device that is full")
    plain = cache._Writer.__init__

    def full(self, *arguments):
        plain(self, *arguments)
        self._samples.close()
        self._samples = open("/dev/full", "wb")  # noqa: SIM115

    monkeypatch.setattr(cache._Writer, "__init__", full)
    with pytest.raises(mv.DataError, match=r"cannot write .*samples: No space left on device"):
        load(manifest, columns)
