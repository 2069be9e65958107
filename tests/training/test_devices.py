import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omi_keras.training.devices import divide_machine, visible_gpus


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@given(processes=st.integers(1, 12), count=st.integers(1, 12))
def test_cores_are_divided(processes, count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setattr(os, "sched_getaffinity", lambda pid: set(range(count)), raising=False)
        shares = divide_machine(processes)
    assert len(shares) == processes
    assert all(share.gpu is None for share in shares)
    cores = [core for share in shares for core in share.cores]
    if processes <= count:
        assert sorted(cores) == list(range(count))
        sizes = [len(share.cores) for share in shares]
        assert max(sizes) - min(sizes) <= 1
    else:
        assert cores == []


def test_one_fold_per_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5f")
    assert visible_gpus() == ["3", "GPU-5f"]
    assert [share.gpu for share in divide_machine(8)] == ["3", "GPU-5f"]


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpus_that_are_hidden_are_not_used(monkeypatch, value):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == []


def test_gpus_that_nobody_chose_are_counted(monkeypatch, tmp_path):
    from omi_keras.training import devices

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(devices, "NVIDIA", tmp_path)
    assert visible_gpus() == ["0", "1"]


def test_a_system_that_binds_no_process_to_cores(monkeypatch, no_gpu):
    """As macOS and Windows."""
    from omi_keras.training.runtime import available_cores

    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6
    assert [share.cores for share in divide_machine(2)] == [(), ()]
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_cores_that_a_process_may_use_are_counted(monkeypatch):
    from omi_keras.training.runtime import available_cores

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert available_cores() == 3


@pytest.mark.parametrize(("library", "calls"), [("glibc", 2), ("musl", 0), ("", 0)])
def test_only_glibc_is_told_to_keep_memory(library, calls, monkeypatch):
    from omi_keras.models.fast import memory

    told = []

    class Library:
        def mallopt(self, name, value):
            told.append(name)

    monkeypatch.setattr(memory.platform, "libc_ver", lambda: (library, ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Library())
    memory.keep_freed_memory()
    assert len(told) == calls
