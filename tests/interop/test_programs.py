"""The programs of `script/interop`: what they try is what was asked for."""

import importlib
import sys

import pytest


@pytest.mark.parametrize("name", ["all_baresip", "all_calls", "all_faxes", "all_kamailio", "all_nat", "all_sipp"])
def test_who_asks_for_what_there_is_none_of_is_told_so(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was tried, and so nothing went well."""
    main = importlib.import_module(f"tests.interop.{name}").main
    monkeypatch.setattr(sys, "argv", [name, "--only", "nosuchthing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "nothing has all of the words ['nosuchthing']" in capsys.readouterr().err
