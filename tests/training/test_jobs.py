"""Folds elsewhere: processes of this machine and Dask workers, also when they die."""

import os
import time
from contextlib import closing

import fold_work
import pytest

from omi_keras.training.jobs import RETRIES, Job, _on_this_machine, run_jobs


def ended(tmp_path, *jobs, processes=2, epoch_done=lambda job, row: None):
    jobs = [Job(tmp_path, tmp_path / name, fold) for name, fold in jobs]
    return dict(run_jobs(fold_work.do, jobs, processes, "local", epoch_done=epoch_done))


def test_each_fold_in_a_process_of_its_own(tmp_path):
    results = ended(tmp_path, ("good", 0), ("good", 1), ("good", 2))
    assert all(error is None for error in results.values())
    pids = {fold_work.marks(job)[0] for job in results}
    assert len(pids) == 3
    assert str(os.getpid()) not in pids


def test_a_fold_whose_process_died_is_taken_up_again_and_the_others_never_notice(tmp_path):
    results = ended(tmp_path, ("dies-once", 0), ("good", 1), ("dies", 2), ("refuses", 3))
    errors = {job.fold: error for job, error in results.items()}
    assert errors[0] is None
    assert errors[1] is None
    assert f"died {RETRIES + 1} times" in str(errors[2])
    assert str(errors[3]) == "this fold cannot be trained"
    assert {job.fold: len(fold_work.marks(job)) for job in results} == {0: 2, 1: 1, 2: RETRIES + 1, 3: 1}


def test_a_mistake_of_ours_is_raised(tmp_path):
    with pytest.raises(ZeroDivisionError, match="ours"):
        ended(tmp_path, ("broken", 0))


def test_an_error_larger_than_a_pipe_is_heard(tmp_path):
    """A process that waits for its reader does not end, and its end must not be waited for."""
    deadline = time.monotonic() + 60
    with closing(_on_this_machine(fold_work.do, [Job(tmp_path, tmp_path / "talks", 0)], 1, 1)) as work:
        ended = next(found for found in work if found or time.monotonic() > deadline)
    assert ended, "it hangs"
    assert len(str(ended[1])) == 500_000


def test_epochs_are_told_while_they_end(tmp_path):
    seen = []
    ended(tmp_path, ("history", 4), epoch_done=lambda job, row: seen.append((job.fold, row["epoch"], row["loss"])))
    assert seen == [(4, 1, 0.1), (4, 2, 0.2)]


@pytest.mark.slow
def test_a_dask_worker_killed_in_the_middle(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", scheduler_port=0
    ) as cluster:
        with distributed.Client(cluster) as client:
            client.upload_file(fold_work.__file__)
        jobs = [Job(tmp_path, tmp_path / name, fold) for name, fold in (("good", 0), ("dies-once", 1), ("good", 2))]
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        results = dict(run_jobs(fold_work.do, jobs, 1, address, epoch_done=lambda job, row: None))
    assert list(results.values()) == [None] * 3
    assert len(fold_work.marks(jobs[1])) == 2
