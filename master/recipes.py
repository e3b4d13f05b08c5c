"""How results that stay with workers were computed: enough to do it again should they be lost; pure."""

from __future__ import annotations

from manyhands.master.data import Datum
from manyhands.master.definitions import Definition, HeldBlock
from manyhands.master.events import JobOptions
from manyhands.wire.blocks import Block

#: What a recipe costs beside its task's argument.
OVERHEAD_BYTES = 1024


class RecipeRoom:
    """The memory that all recipes may take."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, size: int) -> bool:
        """Whether there is room for so much more; then it is taken."""
        if self.used_bytes + size > self._limit_bytes:
            return False
        self.used_bytes += size
        return True

    def give_back(self, size: int) -> None:
        """So much is gone."""
        self.used_bytes -= size


class Recipe:
    """Of one datum: its task, and what that needs. Whoever may want the datum again holds it.

    Of what was put it holds the data themselves, of what was computed only the recipes: so a long chain of results,
    each made from the one before it, keeps none of them but the last.
    """

    __slots__ = ("_bytes", "_room", "block", "held", "id", "inputs", "options", "size")

    def __init__(
        self,
        id: bytes,
        size: int,
        block: HeldBlock,
        inputs: tuple[Datum | Recipe, ...],
        options: JobOptions,
        held: tuple[Definition, ...],
        room: RecipeRoom,
        room_bytes: int,
    ) -> None:
        """Made by `note`."""
        self.id = id
        #: Of the datum.
        self.size = size
        #: Of the one task, at the index that it had; it holds its definitions, but no data.
        self.block = block
        self.inputs = inputs
        #: Of its job, and what they are made of.
        self.options = options
        self.held = held
        self._room, self._bytes = room, room_bytes

    def __del__(self) -> None:
        self._room.give_back(self._bytes)


def note(
    datum: Datum, block: Block, index: int, options: JobOptions, held: tuple[Definition, ...], room: RecipeRoom
) -> None:
    """The task at `index` of the block has computed the datum: give it a recipe, if there is room."""
    assert isinstance(block, HeldBlock)
    base, ends, payload = block.slice(index, index + 1)
    size = OVERHEAD_BYTES + len(payload)
    if not room.take(size):
        return
    inputs = tuple([each.recipe or each for each in block.data])
    task = Block(index, base, ends, payload, block.function, block.call, block.definitions, block.needs)
    datum.recipe = Recipe(datum.id, datum.size, HeldBlock.of(task, block.held), inputs, options, held, room, size)
