"""What a function of the user's imports."""


def lowest(f: int) -> int:
    return f
