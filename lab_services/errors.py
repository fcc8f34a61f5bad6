"""The errors that are meant for the reader of a lab."""


class LabError(Exception):
    """Something a user can mend. The text says what is wrong, the hint what to do about it.

    The `lab` command prints both without a traceback and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.hint = hint


class Refused(LabError):
    """What was asked for cannot be done, and nothing of it has been."""
