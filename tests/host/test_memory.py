"""The collector of cycles leaves alone what start-up has made."""

import gc
import weakref

from vfax.host.memory import settled


class Knot:
    def __init__(self) -> None:
        self.itself = self


def test_what_was_there_is_not_looked_over_and_what_comes_is() -> None:
    old = Knot()
    with settled():
        assert gc.get_freeze_count() > 1000
        new = Knot()
        seen = [weakref.ref(one) for one in (old, new)]
        del old, new
        gc.collect()
        assert [one() is None for one in seen] == [False, True]
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert [one() is None for one in seen] == [True, True]
