"""Worker processes give the results of this process; a crash is an error that names the cell."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.data import loading, reading

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

PLUGIN = """
import os
import multimodal_vae as mv
class Odd(mv.Vector):
    def read(self, cell):
        if cell == "die":
            os._exit(3)
        if cell == "kill":
            os.kill(os.getpid(), 9)
        if cell == "mistake":
            raise ZeroDivisionError
        if cell == "far":
            raise mv.DataError("is too far")
        if cell == "slow":
            import time
            time.sleep(600)
        return super().read(str(os.getpid()) if cell == "pid" else cell)
"""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Worker processes are started after the first cell."""
    monkeypatch.setattr(reading, "WORTHWHILE", 0.0)


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """An installed modality, beside a distribution whose entry points cannot be read."""
    for name, points in (
        ("odd", "[multimodal_vae.modalities]\nodd = odd:Odd\n"),
        ("stranger", "[console_scripts]\nno equals sign\n"),
    ):
        info = tmp_path / "site" / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
    (tmp_path / "site" / "odd.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    registry.refresh()
    yield mv.Modality.of({"name": "odd", "size": 1})
    registry.refresh()
    sys.modules.pop("odd", None)


def read(modality, cells, workers=2):
    return list(reading.read_all(modality, cells, workers))


def load(manifest, columns, **arguments):
    return mv.MultimodalDataset.from_manifest(manifest, columns, cache=False, **arguments)


def test_several_processes_read_what_one_would(manifest, columns, monkeypatch, capfd):
    counted = []
    plain = mv.Image.read
    monkeypatch.setattr(mv.Image, "read", lambda self, cell: counted.append(cell) or plain(self, cell))
    (manifest.parent / "pictures" / "20.png").write_bytes(b"no picture")
    data = load(manifest, columns, workers=2, unreadable="skip")
    assert 0 < len(counted) < 12  # the first cell is read here, to see how long it takes
    reference = load(manifest, columns, workers=0, unreadable="skip")
    assert data.fingerprint() == reference.fingerprint()
    assert data.notes == reference.notes == {"photo": {loading.SKIPPED: 1}}
    with pytest.raises(mv.DataError) as elsewhere:
        load(manifest, columns, workers=2)
    with pytest.raises(mv.DataError) as here:
        load(manifest, columns, workers=0)
    assert str(elsewhere.value) == str(here.value)
    assert capfd.readouterr() == ("", "")


def test_cells_come_in_order_from_more_than_one_process_and_more_than_are_queued(odd):
    cells = [str(n) for n in range(100)] + ["pid"] * 8
    results = read(odd, cells)
    assert [result.sample.item() for result in results[:100]] == list(range(100))
    assert len({result.sample.item() for result in results[100:]}) == 2
    assert [result.fault for result in read(odd, ["0", "far"])] == ["", "is too far"]


@pytest.mark.parametrize("cell", ["die", "kill"])
def test_a_process_that_ends_is_an_error_that_names_the_cell(odd, cell):
    with pytest.raises(mv.DataError, match=f"the process that read {cell} ended.*set workers = 0"):
        read(odd, [*map(str, range(200)), cell, *map(str, range(200))])


def test_what_a_modality_raises_elsewhere_is_raised_here(odd):
    with pytest.raises(ZeroDivisionError) as caught:
        read(odd, ["0", "mistake"])
    assert caught.traceback[-1].path.name == "odd.py"  # not a traceback from the worker


@on_linux
def test_a_reader_that_stops_early_leaves_no_process(odd):
    results = reading.read_all(odd, ["0", "pid", *map(str, range(500))], 2)
    next(results)
    pid = int(next(results).sample.item())
    results.close()
    assert ended(pid)


class Session(mv.Vector):
    pass


def test_a_class_of_the_session_is_read_all_the_same(manifest, columns):
    columns = columns | {"blood": Session(size=3, hidden=8)}
    assert load(manifest, columns, workers=2).fingerprint() == load(manifest, columns, workers=0).fingerprint()
    assert len(read(Session(size=1), ["1", "2", "3"])) == 3


SCRIPT = """
import sys
import multimodal_vae as mv
from multimodal_vae.data import reading
print("began")
reading.WORTHWHILE = 0.0
class Own(mv.Vector):
    pass
for part in (mv.Vector(size=1), Own(size=1)):
    print([result.sample.item() for result in reading.read_all(part, ["1", "2", "3"], 2)])
"""


def test_a_script_needs_no_guard(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("began\n" + "[1.0, 2.0, 3.0]\n" * 2, "")


DAEMON = """
import multiprocessing
import sys
def read(answers):
    import multimodal_vae as mv
    from multimodal_vae.data import reading
    reading.WORTHWHILE = 0.0
    answers.put([result.sample.item() for result in reading.read_all(mv.Vector(size=1), ["1", "2"], 2)])
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    context.Process(target=read, args=(answers,), daemon=True).start()
    print(answers.get(timeout=120))
"""


def test_a_process_that_may_have_no_children_reads_by_itself(tmp_path):
    (tmp_path / "script.py").write_text(DAEMON)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[1.0, 2.0]\n", "")


CALLER = """
import sys
import multimodal_vae as mv
from multimodal_vae.data import reading
reading.WORTHWHILE = 0.0
sys.path.insert(0, sys.argv[1])
results = reading.read_all(mv.Modality.of({"name": "odd", "size": 1}), ["0", "pid", *["slow"] * 9], 2)
next(results)
print(int(next(results).sample.item()), flush=True)
next(results)
"""


@on_linux
@pytest.mark.usefixtures("odd")
def test_a_worker_ends_with_its_caller(tmp_path):
    # This caller is not shielded from the broken entry points.
    (tmp_path / "site" / "stranger-1.0.dist-info" / "entry_points.txt").unlink()
    command = [sys.executable, "-c", CALLER, str(tmp_path / "site")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as caller:
        pid = int(caller.stdout.readline())
        caller.send_signal(signal.SIGKILL)
    assert ended(pid)


def ended(pid):
    """Return whether a process ends within ten seconds."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(500):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_sample_at_fault_among_others_is_told_from_them(monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK_SECONDS", 60.0)
    cells = ["1", "nan", "1 2", "x", "2"]
    results = read(mv.Vector(size=1), cells, workers=0)
    alone = [reading.read(mv.Vector(size=1), cell) for cell in cells]
    assert [result.fault for result in results] == [result.fault for result in alone]
    assert [result.sample is None for result in results] == [False, True, True, True, False]
