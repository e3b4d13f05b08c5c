"""How long a function's tasks take, and how large their results are: moving means, learnt from reports."""

from __future__ import annotations

from collections import OrderedDict

#: A report of n tasks counts n / (n + this): one task moves the mean by a fifth, a thousand replace it.
_INERTIA = 4.0

#: Functions remembered; the least recently used go first.
_CAPACITY = 4096


class Profile:
    """One function's durations and results."""

    __slots__ = ("mean", "result_bytes")

    def __init__(self) -> None:
        #: Seconds a task, None until the first report.
        self.mean: float | None = None
        #: Bytes of a result, 0 until the first one.
        self.result_bytes = 0.0

    def observe_results(self, count: int, size: int) -> None:
        """`count` tasks had results of `size` bytes together."""
        sample = size / count
        if self.result_bytes:
            sample = self.result_bytes + (sample - self.result_bytes) * count / (count + _INERTIA)
        self.result_bytes = sample

    def observe(self, count: int, seconds: float) -> None:
        """`count` tasks took `seconds` together."""
        sample = seconds / count
        mean = self.mean
        if mean is None:
            self.mean = sample
            return
        # The first call of a function often pays for imports: believe a much lower figure sooner.
        inertia = 1.0 if sample < mean / 4 else _INERTIA
        self.mean = mean + (sample - mean) * count / (count + inertia)


class Averages:
    """What one job's tasks took on average, by their functions' profiles.

    Unlike those it forgets nothing: a few long tasks at a job's end would soon be all that a moving mean knows.
    """

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[Profile, tuple[int, float]] = {}

    def observe(self, profile: Profile, count: int, seconds: float) -> None:
        """`count` tasks took `seconds` together."""
        tasks, total = self._sums.get(profile, (0, 0.0))
        self._sums[profile] = tasks + count, total + seconds

    def mean(self, profile: Profile) -> float | None:
        """Seconds a task, None until the first report."""
        found = self._sums.get(profile)
        return None if found is None else found[1] / found[0]


class Profiles:
    """The profiles of all functions, by hash."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._profiles: OrderedDict[bytes, Profile] = OrderedDict()

    def get(self, function: bytes) -> Profile:
        """The function's profile; a new one if it is unknown or was forgotten."""
        profile = self._profiles.get(function)
        if profile is None:
            profile = self._profiles[function] = Profile()
            if len(self._profiles) > self._capacity:
                self._profiles.popitem(last=False)
        else:
            self._profiles.move_to_end(function)
        return profile
