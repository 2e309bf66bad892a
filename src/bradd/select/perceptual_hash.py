"""A picture's coarse structure in 64 bits, and which of many such hashes are alike."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from bradd.select.grey import grey_batches

__all__ = ["LIKE", "differing_bits", "like_hashes", "perceptual_hash"]

LIKE = 4
"""Hashes that differ in no more bits than this are alike."""

_SIDE = 8  # frequencies in each direction: 8 x 8 bits
_DECIMALS = 4  # of a grey level; hides the rounding of sums, which differs between batch sizes

# Of seven parts of the hash, at least three are equal when at most four bits differ.
_PARTS = 7
_WINDOW = 256
_ENOUGH = 64

_BITS_OF_16 = np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16)
_COUNT_OF_16 = _BITS_OF_16.sum(axis=1, dtype=np.uint8)


def perceptual_hash(images: np.ndarray) -> np.ndarray:
    """Which of an image's 63 lowest spatial frequencies exceed their median (pHash, Zauner 2010).

    Re-encoding, resizing, slight noise and changes of brightness change few bits or none. Shifts by
    more than about a hundredth of the side change many, and so does a mirror: what they make is
    another image, as a random view is. The frequencies are those of the discrete cosine transform
    of the grey image at its own size, so images of different sizes can be compared.

    Args:
        images: 8-bit RGB `[B, 3, H, W]`.

    Returns:
        uint64 `[B]`; 0 for an image of one colour.
    """
    _, _, height, width = images.shape
    rows, columns = _cosines(height), _cosines(width)
    hashes = []
    for grey in grey_batches(images):
        coefficients = np.round(rows @ (grey @ columns.T), _DECIMALS).reshape(len(grey), -1)
        coefficients[:, 0] = -np.inf  # the mean brightness says nothing about structure
        bits = coefficients > np.median(coefficients[:, 1:], axis=1, keepdims=True)
        hashes.append(np.packbits(bits, axis=1).view(np.uint64)[:, 0])
    return np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64)


def like_hashes(hashes: np.ndarray) -> np.ndarray:
    """Pairs of hashes that differ in at most `LIKE` bits, without comparing all with all.

    Such hashes have at least three of seven parts in common, so it suffices to sort by each choice
    of three parts and to compare neighbours (Manku et al. 2007). Time and memory grow with the
    number of hashes even if they say next to nothing: where more than 256 hashes share three
    parts, each is compared with the next 256 only, and 64 like ones suffice.

    Args:
        hashes: Distinct, uint64 `[H]`.

    Returns:
        Positions in `hashes`, the lower first, in ascending order, int64 `[P, 2]`.
    """
    found = [np.empty(0, dtype=np.int64)]
    found_for = np.zeros(len(hashes), dtype=np.int64)
    for common, earlier in _choices_of_parts():
        order = np.argsort(hashes & common, kind="stable")
        ordered = hashes[order]
        keys = ordered & common
        first = np.arange(len(hashes))
        for offset in range(1, _WINDOW + 1):
            first = first[: np.searchsorted(first, len(hashes) - offset)]
            first = first[keys[first] == keys[first + offset]]
            first = first[found_for[order[first]] < _ENOUGH]
            if len(first) == 0:
                break
            alike = first[differing_bits(ordered[first], ordered[first + offset]) <= LIKE]
            difference = ordered[alike] ^ ordered[alike + offset]
            for part in earlier:  # common, too: an earlier choice has found this pair
                alike, difference = (
                    alike[difference & part != 0],
                    difference[difference & part != 0],
                )
            one, other = order[alike], order[alike + offset]
            found.append(np.minimum(one, other) * len(hashes) + np.maximum(one, other))
            found_for[one] += 1
    return np.stack(np.divmod(np.sort(np.concatenate(found)), max(1, len(hashes))), axis=1)


def differing_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """In how many bits two hashes differ (Hamming distance), uint64 `[H]` each, uint8 `[H]`."""
    words = np.ascontiguousarray(first ^ second).view(np.uint16).reshape(-1, 4)
    count: np.ndarray = _COUNT_OF_16[words].sum(axis=1, dtype=np.uint8)
    return count


def _cosines(length: int) -> np.ndarray:
    """The lowest frequencies of the cosine transform (DCT-II) of `length` pixels, `[8, length]`."""
    positions = (np.arange(length) + 0.5) / length
    return np.cos(np.pi * np.arange(_SIDE)[:, None] * positions) / length


def _choices_of_parts() -> list[tuple[np.uint64, list[np.uint64]]]:
    """Each choice of three parts: their bits, and the parts before the last that are left out.

    Every part has bits from everywhere, so that none is the same in most hashes. Of the choices
    that two hashes have in common, one alone has nothing in common among what it leaves out: the
    first.
    """
    parts = [np.uint64(sum(1 << bit for bit in range(part, 64, _PARTS))) for part in range(_PARTS)]
    return [
        (
            np.bitwise_or.reduce([parts[number] for number in choice]),
            [parts[number] for number in range(choice[-1]) if number not in choice],
        )
        for choice in combinations(range(_PARTS), _PARTS - LIKE)
    ]
