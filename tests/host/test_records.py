"""The words of the host for faxes without a call are those of vfax."""

import pytest

from vfax import verdict
from vfax.host.records import _WITHOUT_CALL, without_call
from vfax.outcome import Cause


@pytest.mark.parametrize(("cause", "sending"), _WITHOUT_CALL)
def test_a_fax_without_a_call_is_told_as_by_the_verdicts(cause: Cause, sending: bool) -> None:
    assert without_call(cause, "Words.", sending=sending) == verdict.without_call(cause, "Words.", sending=sending)
