"""Texts in blocks are those of a list."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal_vae.data import texts


@given(expected=st.lists(st.text(max_size=3), max_size=12), block=st.integers(1, 5))
def test_texts_are_those_of_a_list(expected, block):
    with patch.object(texts, "BLOCK", block):
        found = texts.Texts(expected)
        assert list(found) == [found[row] for row in range(len(found))] == expected
        assert [found[row] for row in range(-len(found), 0)] == found[:] == expected
        assert found[1:-1:2] == expected[1:-1:2]
        assert found.are_filled().tolist() == [bool(text) for text in expected]
        assert ("" in found) == ("" in expected)
        with pytest.raises(IndexError):
            found[len(expected)]
