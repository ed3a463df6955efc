"""What the tests of modules share."""

from __future__ import annotations

import pytest

from shufflenet import Network, network
from tests.strategies import one_of_each


@pytest.fixture(scope="module")
def small() -> Network:
    """A small network with one unit of each kind."""
    return network(one_of_each())
