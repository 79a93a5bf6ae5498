"""What all tests share: no network, a cache of their own, real data where it is at hand."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

import pytest

# One thread per test process: two processes (pytest -n 2) use two cores well, and two threads in each do not.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for any address but the loopback fails."""
    connect = socket.socket.connect

    def connect_to_loopback_only(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_to_loopback_only)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has an empty cache of its own."""
    monkeypatch.setenv("PHOTOPIC_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data sets (PHOTOPIC_DATA); skips where there is none."""
    folder = os.environ.get("PHOTOPIC_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PHOTOPIC_DATA names no folder with real data sets")
    return Path(folder)
