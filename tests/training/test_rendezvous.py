"""Processes of a training wait for each other, and say who does not come. Threads stand for them here."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from avsc_tf.core.errors import TrainingError
from avsc_tf.training.engine.rendezvous import meet


@pytest.fixture
def places() -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return [f"127.0.0.1:{port}", "127.0.0.1:2", "127.0.0.1:3"]  # only the chief's port is asked for


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_nobody_goes_before_the_last_has_come(order, places):
    with ThreadPoolExecutor(3) as pool:
        early = [pool.submit(meet, places, number, seconds=30) for number in order[:2]]
        time.sleep(1.0)
        assert not any(future.done() for future in early)
        for future in (*early, pool.submit(meet, places, order[2], seconds=30)):
            assert future.result(10) is None


def test_the_chief_names_who_is_missing(places):
    other = threading.Thread(target=lambda: pytest.raises(TrainingError, meet, places, 2, seconds=3))
    other.start()
    with pytest.raises(TrainingError, match=r"^127\.0\.0\.1:2: did not come\. Start"):
        meet(places, 0, seconds=2)
    other.join()


def test_another_process_names_the_chief(places):
    with pytest.raises(TrainingError, match=r"no word from the chief that all are there"):
        meet(places, 1, seconds=1)


def test_a_stranger_is_not_counted_and_a_taken_port_is_named(places):
    host, port = places[0].split(":")
    with ThreadPoolExecutor(1) as pool:
        chief = pool.submit(meet, places[:2], 0, seconds=30)
        time.sleep(0.5)
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(0.5)
            assert not chief.done()
        with pytest.raises(TrainingError, match="cannot listen at this port"):
            meet(places[:2], 0, seconds=1)
        meet(places[:2], 1, seconds=10)
        assert chief.result(10) is None
