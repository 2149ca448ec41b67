"""Texts that are longer than the context of a model."""


def window_start(length: int, context: int | None, stride: int | None = None) -> int:
    """Return where the part of a text begins that a model reads.

    A text that outgrows the context loses its first half (rounded up), then goes on growing. So it
    is read anew every half context and not at each token, and what is read depends on the length of
    the text alone: neither on the batch nor on where its prompt ended.

    Args:
        length: tokens of the text.
        context: how many the model can read, None for any number.
        stride: how many tokens the text loses, if not half the context (`Model.stride`).

    >>> [window_start(length, 4) for length in range(1, 10)]
    [0, 0, 0, 0, 2, 2, 4, 4, 6]
    >>> [window_start(length, 4, stride=1) for length in range(1, 10)]
    [0, 0, 0, 0, 1, 2, 3, 4, 5]
    """
    if context is None or length <= context:
        return 0
    stride = stride or context - context // 2
    return -(-(length - context) // stride) * stride
