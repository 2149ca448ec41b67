"""The sizes that steps are compiled for: few, and large enough."""

import pytest

from logit_sampling.models.sizes import Sizes


@pytest.mark.parametrize("few", [True, False])
def test_there_is_room_for_what_was_asked_for_and_for_more(few: bool) -> None:
    sizes = Sizes(few)
    for number in range(1, 3000):
        assert number <= sizes.rows(number) < 2 * number
        assert number <= sizes.tokens(number) < 2 * number
        columns = sizes.columns(number)
        assert number < columns <= max(64, 1.5 * number + 48)
        assert not few or columns == sizes.columns(columns - 1)


def test_they_are_few() -> None:
    sizes = Sizes(few=True)
    for size, most in ((sizes.rows, 12), (sizes.tokens, 12), (sizes.columns, 12)):
        assert len({size(number) for number in range(1, 2049)}) <= most


def test_any_number_goes_elsewhere() -> None:
    assert [Sizes(few=False).rows(number) for number in (3, 7, 100)] == [3, 7, 100]
