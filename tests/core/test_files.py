"""Files that are whole or not there, whatever the disk does; folders that belong to one command and one process."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from avsc_tf.core.errors import OutputError
from avsc_tf.core.files import claim_folder, explain, locked_folder, own_folder, write_atomically, written_whole


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """A stand-in for a full disk, for the superuser as well."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    """255 bytes, of letters of one and of three bytes."""
    for name in ("x" * 251 + ".txt", "長" * 83 + "xx.txt"):
        assert len(name.encode()) == 255
        write_atomically(tmp_path / name, "whole")
        assert (tmp_path / name).read_text(encoding="utf-8") == "whole"
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(OutputError, match=r"x\.txt: File name too long\. Name a shorter one"):
        write_atomically(tmp_path / ("x" * 252 + ".txt"), "")


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with files_of_at_most(1000), pytest.raises(OutputError, match=r"/a\.txt: File too large\. .* raise the limit"):
        write_atomically(path, bytes(2000))
    assert path.read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_hdf5_on_a_full_disk(tmp_path: Path) -> None:
    """Its errors have no file name, and those of closing are no OSErrors."""
    path = tmp_path / "model.weights.h5"
    with (
        files_of_at_most(100_000),
        pytest.raises(OutputError, match=r"/model\.weights\.h5: File too large"),
        written_whole(path, suffix=".part.h5") as part,
        h5py.File(part, "w") as file,
    ):
        file["weights"] = np.ones(100_000)
    assert not os.listdir(tmp_path)


def test_an_error_in_the_block_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "a") as part:
        part.write_text("", encoding="utf-8")
        _ = 1 / 0
    with pytest.raises(OutputError, match=r"^nowhere: No such file"), written_whole(tmp_path / "a"):
        Path("nowhere").read_bytes()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/mnt/a"), "/mnt/a: Read-only file system. Name a folder"),
        (RuntimeError("/mnt/b; No space left on device"), "/mnt/b: No space left on device. Free some space"),
        (OSError("Can't write (filename = 'c.h5', errno = 28, message = 'No space left on device')"), "c.h5: No space"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file, or standard output: No space left on device"),
    ],
)
def test_one_line_names_the_file_and_the_remedy(error: Exception, line: str) -> None:
    assert (explain(error) or "").startswith(line)


def test_tensorflows_errors_are_known(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(tf.errors.OpError) as found:
        tf.io.gfile.GFile(str(tmp_path / "file" / "x"), "w").write("x")
    assert explain(found.value) == (
        f"{tmp_path}/file/x: Not a directory. Something else of that name is in the way: name another place."
    )


def test_a_fault_of_the_program_is_no_files_fault() -> None:
    assert explain(ValueError("shapes do not match")) is None


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds other things already \(letters.txt\).*a new or an empty folder"):
        claim_folder(tmp_path, ("report.json",))
    (tmp_path / "report.json").write_text("", encoding="utf-8")
    claim_folder(tmp_path, ("report.json",))
    claim_folder(tmp_path / "new", ())
    (tmp_path / "new" / ".hidden").write_text("", encoding="utf-8")
    claim_folder(tmp_path / "new", ())
    with pytest.raises(OutputError, match=r"letters.txt: File exists\. Something else"):
        claim_folder(tmp_path / "letters.txt", ())


HOLD = """
import sys, pathlib
from avsc_tf.core.files import own_folder
with own_folder(pathlib.Path(sys.argv[1]), "work"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_has_a_folder(tmp_path: Path) -> None:
    """Until it ends, however that is."""
    folder = tmp_path / "out"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=r"out: another work is running there"), own_folder(folder, "work"):
            raise AssertionError("held twice")
        with locked_folder(folder, "other"):
            other.kill()
    (folder / "made.txt").write_text("", encoding="utf-8")
    with own_folder(folder, "work"):  # the lock file tells that the folder is its own
        pass
