"""Limits that are written in the wrong form."""

import pytest

from freeproviders import Quota
from freeproviders.errors import UsageError


@pytest.mark.parametrize("limits", [{"requests/day": 3}, ["requests/day"], [3]])
def test_limits_of_another_form_are_told_the_right_one(limits) -> None:
    with pytest.raises(UsageError, match="must be a list of mappings with metric, cap and per"):
        Quota(limits)
