"""All mutations of the sources, as data; `mutants.py` beside this folder runs them."""

from mutations.counting import COUNTING
from mutations.designing import DESIGNING
from mutations.measuring import MEASURING
from mutations.mutation import Mutation
from mutations.networks import NETWORKS

__all__ = ["MUTATIONS", "Mutation"]

#: All of them, from the ground up.
MUTATIONS: tuple[Mutation, ...] = (*COUNTING, *NETWORKS, *DESIGNING, *MEASURING)
