"""No garbage is looked for while libraries are loaded, and whoever has turned the search off keeps it off."""

import gc

import pytest

from streamrnn.core.loading import loading


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
