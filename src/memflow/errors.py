"""The base of all errors that a user can mend: their message says what is wrong and what to do."""


class InputError(Exception):
    """Something given to memflow (a config, a file, data, hardware) is not what it must be."""
