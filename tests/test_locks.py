"""Of two processes that write one folder at once, one does and the other says who does."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import multimodal_vae as mv
from multimodal_vae import locks
from multimodal_vae.files import claimed, new_folder
from multimodal_vae.locks import LOCK, locked

# Runs the commands it reads; each stops at its first lock until it reads a line.
OTHER = """
import json, os, sys
from multimodal_vae import cli, locks
answers, sys.stdout = sys.stdout, open(os.devnull, "w")
note = locks._write_owner
def hold(path):
    note(path)
    if not held:
        held.append(path)
        print("holds", file=answers, flush=True)
        sys.stdin.readline()
locks._write_owner = hold
for line in sys.stdin:
    held, sys.argv = [], ["mmvae", *json.loads(line)]
    try:
        cli.main()
    except SystemExit as end:
        print(end.code or 0, file=answers, flush=True)
"""


class Other:
    """Another process that runs commands."""

    def __init__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, "-c", OTHER], env=environment, **pipes)

    def begin(self, *command):
        """Start a command, and wait until it holds a lock."""
        self.say(json.dumps([str(word) for word in command]))
        assert self.process.stdout.readline() == "holds\n"

    def say(self, line=""):
        self.process.stdin.write(line + "\n")

    def end(self):
        """Let the command end, and return its exit code."""
        self.say()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def other():
    other = Other()
    yield other
    other.process.stdin.close()
    other.process.stdout.close()
    other.process.wait()


def hidden(folder):
    """Every entry whose name begins with a period, but for caches."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob(".*")}
    return {name for name in found if ".mmvae_cache" not in name}


COMMANDS = {
    "train": "train {0}/cohort/short.toml --out {0}/new",
    "sample": "sample {0}/run --count 3 --out {0}/new",
    "complete": "complete {0}/run {0}/cohort/manifest.csv --out {0}/new",
    "translate": "translate {0}/run {0}/cohort/manifest.csv --to blood --given blood --given photo --out {0}/new",
    "interpolate": "interpolate {0}/run {0}/cohort/manifest.csv s0 s1 --out {0}/new",
    "new": "new modality emg --out {0}/new",
    "evaluate": "evaluate {0}/run --count 10",
    "audit": "audit {0}/run",
    "card": "card {0}/run",
    "encode": "encode {0}/run {0}/cohort/manifest.csv --out {0}/new",
    "classify": "classify {0}/run {0}/cohort/manifest.csv --out {0}/new",
    "a density": "classify {0}/run {0}/cohort/manifest.csv --sampler gaussian",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_second_of_two_is_told_who_is_first(command, other, trained, mmvae):
    place = trained.parent
    ends = 2 if command in ("evaluate", "card") else 0  # the run has too few samples for an evaluation
    words = COMMANDS[command].format(place).split()
    other.begin(*words)
    code, _, err = mmvae(*words)
    assert code == 2
    target = place / ("new" if "--out" in words else "run")
    who = rf"process {other.process.pid} on \S+ since [-\d: ]+ UTC; wait until it has ended"
    assert re.fullmatch(rf"mmvae: {re.escape(str(target))} is being written by {who}\n", err)
    assert other.end() == ends
    assert not hidden(place)
    code, _, err = mmvae(*words)
    assert code == (2 if "--out" in words and command != "train" else ends), err
    assert not hidden(place)


def test_a_killed_process_holds_no_lock(tmp_path, mmvae):
    for command in (("new", "modality", "emg", "--out", tmp_path / "new"),):
        killed = Other()
        killed.begin(*command)
        killed.process.kill()
        killed.process.communicate()
        assert hidden(tmp_path) == {".new.partial", f".new.partial/{LOCK}"}
        assert mmvae(*command)[0] == 0
        assert not hidden(tmp_path)


def in_a_thread(work):
    """Run a function in another thread, and return the error that it raises."""
    errors = []

    def run():
        try:
            work()
        except mv.RunError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors


def enter(folder):
    with locked(folder):
        pass


def test_a_lock_within_a_lock_is_the_same_one_and_another_threads_is_not(tmp_path):
    with locked(tmp_path / "a" / "b"):
        with locked(tmp_path / "a" / ".." / "a" / "b"):
            assert (tmp_path / "a" / "b" / LOCK).exists()
        assert (tmp_path / "a" / "b" / LOCK).exists()
        (error,) = in_a_thread(lambda: enter(tmp_path / "a" / "b"))
        assert f"process {os.getpid()}" in error
        assert not in_a_thread(lambda: enter(tmp_path / "c"))
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays(tmp_path):
    (tmp_path / "empty").mkdir()
    enter(tmp_path / "empty")
    with locked(tmp_path / "full" / "x"):
        (tmp_path / "full" / "y").write_text("")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "full", "y"]


@pytest.mark.parametrize("content", ["", "process 1 on \x1b[31mhost since yesterday UTC", "x" * 10**6])
def test_a_strangers_words_are_not_repeated(tmp_path, content):
    with locked(tmp_path):
        (tmp_path / LOCK).write_text(content)
        (error,) = in_a_thread(lambda: enter(tmp_path))
    assert "is being written by another process; wait until it has ended" in error


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_a_lock_is_a_file(tmp_path, kind):
    outside, lock = tmp_path / "outside", tmp_path / "run" / LOCK
    outside.write_text("mine")
    lock.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(outside if kind == "link" else tmp_path / "nothing")
    with pytest.raises(mv.RunError, match=r"is not a file|cannot be written"):
        enter(lock.parent)
    assert outside.read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_where_no_lock_is_possible_the_work_goes_on_with_a_note(tmp_path, monkeypatch):
    def refuse(handle, path):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks, "_lock", refuse)
    with pytest.warns(mv.MultimodalVAEWarning, match="cannot be locked .Operation not supported.; make sure"):
        enter(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_forked_child_neither_keeps_nor_removes_a_lock(tmp_path):
    with locked(tmp_path):
        child = os.fork()
        if not child:
            locks._release(tmp_path, max(locks._handles, default=-1))
            time.sleep(60)
            os._exit(0)
        time.sleep(0.2)
        assert in_a_thread(lambda: enter(tmp_path))
    assert not in_a_thread(lambda: enter(tmp_path))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_file_system_that_locks_only_files_open_to_be_written(tmp_path, monkeypatch):
    plain = locks.fcntl.flock

    def nfs(handle, how):
        if locks.fcntl.fcntl(handle, locks.fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")
        plain(handle, how)

    monkeypatch.setattr(locks.fcntl, "flock", nfs)
    with locked(tmp_path):
        assert in_a_thread(lambda: enter(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_again(tmp_path, monkeypatch):
    plain, times = locks._lock, []

    def late(handle, path):
        times.append(handle)
        if len(times) == 1:
            (tmp_path / LOCK).unlink()
        plain(handle, path)

    monkeypatch.setattr(locks, "_lock", late)
    with locked(tmp_path):
        assert in_a_thread(lambda: enter(tmp_path))
    assert len(times) == 3


def test_a_new_folder_removes_what_a_killed_process_left_and_nothing_else(tmp_path):
    left = tmp_path / ".new.partial" / "result"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    with new_folder(tmp_path / "new") as folder:
        (folder / "whole").write_text("")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "whole"]
    (tmp_path / ".other.partial").mkdir()
    (tmp_path / ".other.partial" / "mine").write_text("")
    with pytest.raises(mv.RunError, match="holds 'mine', of an unfinished generation"), new_folder(tmp_path / "other"):
        pass
    assert (tmp_path / ".other.partial" / "mine").exists()


def test_a_finished_folder_whose_process_was_killed_before_it_cleaned_up(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "whole").write_text("")
    (tmp_path / ".new.partial").mkdir()
    (tmp_path / ".new.partial" / LOCK).write_text("")
    with pytest.raises(mv.RunError, match="already exists"), claimed(tmp_path / "new"):
        pass
    assert not hidden(tmp_path)


def test_nothing_is_written_through_a_link_in_place_of_the_hidden_folder(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / ".new.partial").symlink_to(tmp_path / "outside")
    with pytest.raises(mv.RunError, match="is a link"), claimed(tmp_path / "new"):
        pass
    (tmp_path / ".new.partial").unlink()
    (tmp_path / ".new.partial").mkdir()
    (tmp_path / ".new.partial" / "result").symlink_to(tmp_path / "outside")
    with pytest.raises(mv.RunError, match="cannot be written"), new_folder(tmp_path / "new"):
        pass
    assert not list((tmp_path / "outside").iterdir())


def test_a_folder_may_be_made_where_a_link_to_an_empty_one_leads(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with new_folder(tmp_path / "link") as folder:
        (folder / "x").write_text("")
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in Path(tmp_path / "there").iterdir()] == ["x"]


def test_a_run_whose_process_was_killed_as_it_began_is_begun_again(toml, mmvae, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).write_text("")
    (tmp_path / "run" / ".config.toml.0123456789abcdef").write_text("half")
    assert mmvae("train", toml, "--out", tmp_path / "run", "--quiet")[0] == 0
    assert not hidden(tmp_path / "run")


def test_a_run_is_rid_of_what_killed_processes_left_and_of_nothing_else(trained, mmvae):
    ours = [".card.md.0123456789abcdef", ".metrics.json.0123456789abcdef", "samplers/.kde.safetensors.0123456789abcdef"]
    others = [".git", ".card.md.swp", "samplers/.mine", ".notes.0123456789abcdef"]
    for name in (*ours, *others):
        (trained / name).write_text("")
    assert mmvae("audit", trained)[0] == 0
    assert hidden(trained) == set(others)
