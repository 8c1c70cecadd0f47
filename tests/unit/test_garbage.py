"""Pausing and freezing of the garbage collector."""

import gc

import pytest

from streamrnn.core.garbage import collector_paused, freeze_collector


def test_the_collector_is_enabled_again_afterwards() -> None:
    """Also after an error."""
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError, match="gone"), collector_paused():
        raise ImportError("gone")
    assert gc.isenabled()


def test_a_disabled_collector_stays_disabled() -> None:
    """Within another pause, and in a process that has disabled it."""
    with collector_paused():
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()


def test_existing_objects_are_frozen() -> None:
    """Existing objects are in no generation, and the thresholds are above Python's defaults."""
    before = gc.get_threshold()
    defaults = 700, 10, 10
    try:
        gc.set_threshold(*defaults)  # other tests of this process may have raised them
        freeze_collector()
        assert gc.get_freeze_count() > 1000
        assert all(now > default for now, default in zip(gc.get_threshold(), defaults, strict=True))
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
