from __future__ import annotations

import os
import subprocess
import time

from labkit.pocket import waiting


def test_the_end_of_a_process_is_noticed_at_once_and_not_before() -> None:
    process = subprocess.Popen(["sleep", "0.3"])
    fd = os.pidfd_open(process.pid)
    try:
        assert not waiting.gone([fd], 0.05)
        began = time.monotonic()
        assert waiting.gone([fd], 10)
        assert time.monotonic() - began < 5
    finally:
        os.close(fd)
        process.wait()


def test_a_process_that_is_not_there_has_ended() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert waiting.has_ended(process.pid, 0)
    assert waiting.has_ended(None, 0)
    assert not waiting.has_ended(os.getpid(), 0)


def test_another_process_with_inits_old_number_is_not_waited_for() -> None:
    began = time.monotonic()
    waiting.wait_for_init(os.getpid(), 5)
    waiting.wait_for_init(None, 5)
    assert time.monotonic() - began < 1
