"""Every procedural kind of household object, by its plain English name."""

from training.world.kinds import food, household, tableware, tools
from training.world.object_model import Kind

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*tableware.KINDS, *food.KINDS, *tools.KINDS, *household.KINDS)}
