"""How the channels of a narrow network lie in a wide one, so that the wide one's norms see what the narrow one's see.

A wide layer holds ``y = E x`` where the narrow one holds ``x``. Norms take mean and mean square over groups of channels: the columns of ``E`` that
belong to a group have to be orthogonal and of one length, and their rows to sum to 1. Copies do that where a group's sizes divide. Where they do
not (3 channels in a group of 10) each channel stands there as often as leaves room enough for mixtures that make mean and mean square right, and
have no other purpose. Every later layer reads each channel at one place where it stands alone, so that weights are copied rather than divided.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

GROUPS = 32


def helmert(size: int) -> torch.Tensor:
    """Orthonormal rows, float64 of shape (size, size), of which the first is constant."""
    rows = torch.full((size, size), size**-0.5, dtype=torch.float64)
    for row in range(1, size):
        rows[row] = 0
        rows[row, :row] = 1
        rows[row, row] = -row
        rows[row] /= (row * (row + 1)) ** 0.5
    return rows


@dataclass(frozen=True)
class Spread:
    """`matrix` E, float64 of shape (wide, narrow); `places` of shape (narrow,): a row for each narrow channel that holds it alone, once."""

    matrix: torch.Tensor
    places: torch.Tensor

    @classmethod
    def copies(cls, narrow: int, wide: int) -> Spread:
        """Each channel wide/narrow times, the copies side by side.

        Raises
        ------
        ValueError
            Sizes that are no multiples.
        """
        if wide % narrow:
            raise ValueError(f"{wide} channels are no multiple of {narrow}")
        times = wide // narrow
        return cls(torch.eye(narrow, dtype=torch.float64).repeat_interleave(times, 0), torch.arange(narrow) * times)

    @classmethod
    def groups(cls, narrow: int, wide: int, groups: int = GROUPS) -> Spread:
        """Each group of narrow/groups channels in one of wide/groups, with the same mean and the same mean square.

        Raises
        ------
        ValueError
            Sizes that are no multiples of `groups`, or a wide group that has no room for the mixtures.
        """
        few, many = narrow // groups, wide // groups
        if narrow % groups or wide % groups:
            raise ValueError(f"{narrow} and {wide} channels do not both make {groups} groups")
        if many % few == 0:
            return cls.copies(narrow, wide)
        times = many // few - 1
        rest = many - times * few
        if times < 1:
            raise ValueError(f"{many} channels cannot stand for {few}")
        # Rows of the mixtures: orthogonal columns of squared length rest/few, each row with the sum 1.
        mixtures = (rest / few) ** 0.5 * helmert(rest)[:few].T @ helmert(few)
        block = torch.cat([torch.eye(few, dtype=torch.float64).repeat_interleave(times, 0), mixtures])
        places = torch.arange(groups)[:, None] * many + torch.arange(few) * times
        return cls(torch.block_diag(*[block] * groups), places.flatten())

    @classmethod
    def at(cls, places: torch.Tensor, wide: int) -> Spread:
        """Each channel once, at these places, and zeros elsewhere: for layers that no norm reads."""
        matrix = torch.zeros(wide, len(places), dtype=torch.float64)
        matrix[places, torch.arange(len(places))] = 1
        return cls(matrix, places)

    @classmethod
    def first(cls, narrow: int, wide: int) -> Spread:
        """Each channel once, followed by zeros."""
        return cls.at(torch.arange(narrow), wide)

    def beside(self, other: Spread) -> Spread:
        """Two layers' channels one after the other, as a skip connection puts them."""
        return Spread(torch.block_diag(self.matrix, other.matrix), torch.cat([self.places, other.places + len(self.matrix)]))

    @property
    def wide(self) -> int:
        return self.matrix.shape[0]

    @property
    def narrow(self) -> int:
        return self.matrix.shape[1]

    def write(self, value: torch.Tensor) -> torch.Tensor:
        """A weight or bias (narrow, …) for a layer that puts out the wide channels."""
        return (self.matrix @ value.double().flatten(1)).view(-1, *value.shape[1:]) if value.ndim > 1 else self.matrix @ value.double()

    def read(self, value: torch.Tensor) -> torch.Tensor:
        """A weight (out, narrow, …) for a layer that takes the wide channels in."""
        found = torch.zeros(len(value), self.wide, *value.shape[2:], dtype=torch.float64)
        found[:, self.places] = value.double()
        return found

    def scale(self, value: torch.Tensor) -> torch.Tensor:
        """A norm's gain or bias (narrow,): only what is read has to be right, the rest is 0."""
        return Spread.at(self.places, self.wide).write(value)

    def shares(self, groups: int = GROUPS) -> torch.Tensor:
        """What each narrow channel counts for in each group of the wide norm, float64 of shape (groups, narrow); rows sum to 1.

        Raises
        ------
        ValueError
            A spread after which the wide norm is no norm of the narrow channels, or a channel that stands in two groups.
        """
        parts = self.matrix.view(groups, self.wide // groups, self.narrow)
        size = self.wide // groups
        mean, square = parts.sum(1) / size, parts.mT @ parts / size
        if not torch.allclose(square, torch.diag_embed(mean), atol=1e-12) or bool(((mean > 0).sum(0) != 1).any()):
            raise ValueError(f"{groups} groups of {size} channels do not each hold whole channels of the {self.narrow}")
        return mean
