"""What can be said of Firebase by those who do not use it: its SDK takes a while to load."""


class SignInUnavailable(Exception):
    """Firebase cannot be asked about a token now; it may well be good."""
