"""What the lists of probed layers share: where along a network to look."""


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers from 1 to ``count``, evenly spaced; the last is ``count``."""
    places = min(count, most)
    return [-(-count * place // places) for place in range(1, places + 1)]
