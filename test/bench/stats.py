# SPDX-License-Identifier: Apache-2.0
"""The statistics of the benchmark: ratios of pairs, their median, and bounds that assume nothing about
how they are distributed.
"""
import math
import statistics

CONFIDENCE = 0.95
NULL_LOW, NULL_HIGH = 0.98, 1.02


def order_of_pair(i):
    """What pair i measures first: A B, B A, A B, ... so that a run reads A B B A A B B A."""
    return "AB" if i % 2 == 0 else "BA"


def ratios(pairs):
    """[(a, b)] -> [b / a]"""
    return [b / a for a, b in pairs]


def bound_ranks(n, confidence=CONFIDENCE):
    """The order statistics (counted from 1) that enclose the median of n values at least so surely.

    The number of values below the true median is binomial(n, 1/2); the k-th smallest and the k-th
    largest value miss it with 2 P(X < k). None where even the extremes don't reach the confidence
    (n < 6 at 95 %).
    """
    k, outside = 0, 0.0
    while k < n // 2:
        more = outside + 2 * math.comb(n, k) / 2 ** n
        if more > 1 - confidence:
            break
        outside = more
        k += 1
    return (k, n + 1 - k) if k else None


def median_bounds(values, confidence=CONFIDENCE):
    """(median, low, high); low and high are None with too few values."""
    ranks = bound_ranks(len(values), confidence)
    if ranks is None:
        return statistics.median(values), None, None
    ordered = sorted(values)
    return statistics.median(values), ordered[ranks[0] - 1], ordered[ranks[1] - 1]


def null_verdict(median, low, high):
    """None if the null control holds, else why not.

    The same thing on both sides: its ratio must lie within 0.98 to 1.02. (Wide bounds are no lie, they
    say how little the run can tell, and stand in the table.)
    """
    if low is None or high is None:
        return "too few pairs for bounds"
    if not NULL_LOW <= median <= NULL_HIGH:
        return f"its ratio {median:.3f} lies outside {NULL_LOW} to {NULL_HIGH}"
    return None
