"""No garbage is looked for while libraries are loaded, and whoever has turned the search off keeps it off."""

import gc

import pytest

from streamrnn.core.garbage import freeze_collector, loading


def test_the_search_goes_on_afterwards() -> None:
    """Whether loading has succeeded or not."""
    assert gc.isenabled()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError, match="gone"), loading():
        raise ImportError("gone")
    assert gc.isenabled()


def test_it_is_left_as_it_was() -> None:
    """Within another, and in a process that does without."""
    with loading():
        with loading():
            assert not gc.isenabled()
        assert not gc.isenabled()


def test_what_was_loaded_is_not_collected_again() -> None:
    """Frozen objects are in no generation, and the thresholds are higher than Python's own."""
    before = gc.get_threshold()
    try:
        freeze_collector()
        assert gc.get_freeze_count() > 1000
        assert all(now > default for now, default in zip(gc.get_threshold(), before, strict=True))
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
