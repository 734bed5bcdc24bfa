"""What Python's development mode says of a program, without what it says of the machine."""

import re

SLOW = re.compile(r"^Executing <.*> took \d+\.\d+ seconds$")


def complaints(stderr: str) -> list[str]:
    """The lines of standard error that are about the program.

    That a busy machine took more than 100 ms over a step is not.
    """
    return [line for line in stderr.splitlines() if not SLOW.match(line)]
