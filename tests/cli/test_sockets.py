"""Who holds a port, read from a made-up /proc."""

from pathlib import Path

import pytest

from vfax.cli.sockets import explain, holder_of
from vfax.errors import LinkError

HEADER = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref\n"
LINE = "  10: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4711 2 0\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "udp").write_text(HEADER + LINE)
    (tmp_path / "42" / "fd").mkdir(parents=True)
    (tmp_path / "42" / "comm").write_text("asterisk\n")
    return tmp_path


def test_the_holder_is_named_with_its_process(proc: Path) -> None:
    (proc / "42" / "fd" / "3").symlink_to("socket:[4711]")
    assert holder_of(5060, proc=proc) == "by process 42 (asterisk)"


def test_a_holder_whose_files_we_may_not_see_is_another_users(proc: Path) -> None:
    (proc / "42" / "fd" / "3").symlink_to("socket:[99]")
    assert holder_of(5060, proc=proc) == "by another user's process"


def test_a_listener_on_tcp_is_another_one_than_on_udp(proc: Path) -> None:
    listening = LINE.replace(" 07 ", " 0A ").replace("4711", "4712")
    connected = LINE.replace(" 07 ", " 01 ").replace("4711", "4713")
    (proc / "net" / "tcp").write_text(HEADER + connected + listening)
    for number, inode in enumerate((4711, 4713)):
        (proc / "42" / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    assert holder_of(5060, stream=True, proc=proc) == "by another user's process"
    (proc / "42" / "fd" / "9").symlink_to("socket:[4712]")
    assert holder_of(5060, stream=True, proc=proc) == "by process 42 (asterisk)"


def test_an_error_about_something_else_is_told_as_it_is() -> None:
    assert explain(LinkError("no route")) == "no route"


def test_a_free_port_has_no_holder(proc: Path) -> None:
    assert holder_of(5061, proc=proc) == ""


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert holder_of(5060, proc=tmp_path / "nowhere") == ""


def test_rubbish_in_the_table_is_passed_over(proc: Path) -> None:
    (proc / "net" / "udp").write_text(HEADER + "rubbish\n" + LINE)
    (proc / "42" / "fd" / "3").symlink_to("socket:[4711]")
    assert holder_of(5060, proc=proc) == "by process 42 (asterisk)"
