"""`vfax offer`: a document that callers poll, fetched by `vfax poll` and by libspandsp."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from vfax.cli import app

VFAX = [sys.executable, "-m", "vfax"]
Offer = Callable[..., tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def offer() -> Iterator[Offer]:
    """Start `vfax offer`; gives the process and where it can be polled."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: Any) -> tuple[subprocess.Popen[str], str]:
        command = [*VFAX, "offer", *map(str, arguments), "--listen", "127.0.0.1:0", "--no-header"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running.append(process)
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"sip:\S+", first)
        assert found, first
        return process, found.group()

    yield start
    for process in running:
        process.kill()
        process.communicate()


def pixels(path: Path) -> bytes:
    with Image.open(path) as page:
        return page.convert("1").tobytes()


def test_a_document_that_is_offered_can_be_polled(
    offer: Offer, make_document: Callable[..., Path], tmp_path: Path
) -> None:
    document, got = make_document(rows=300), tmp_path / "got.tif"
    process, uri = offer(document, "--once", "--address", "4711", "--password", "2468")
    wrong = subprocess.run([*VFAX, "poll", uri, str(tmp_path / "no.tif")], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0
    assert not (tmp_path / "no.tif").exists()
    poll = [*VFAX, "poll", uri, str(got), "--address", "4711", "--password", "2468"]
    fetched = subprocess.run(poll, capture_output=True, text=True, check=False)
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "page 1 is going out" in said
    assert pixels(got) == pixels(document)


def test_ctrl_c_ends_the_offer_in_peace(offer: Offer, make_document: Callable[..., Path]) -> None:
    process, _ = offer(make_document(rows=50))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_caller_that_sends_is_refused_with_a_sentence(offer: Offer, make_document: Callable[..., Path]) -> None:
    document = make_document(rows=50)
    process, uri = offer(document)
    sent = subprocess.run([*VFAX, "send", str(document), uri], capture_output=True, text=True, check=False)
    assert sent.returncode != 0
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert said.count("\n") >= 1
    assert "Traceback" not in said + sent.stderr


def test_nothing_to_offer_is_said_at_once() -> None:
    result = CliRunner().invoke(app, ["offer"])
    assert result.exit_code == 2
    assert "say vfax offer FILE" in result.stderr
