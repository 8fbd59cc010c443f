"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """A mistake that the user can mend: shown as its message alone, exit status 2.

    The message names the bad value, where it stands (flag, or file and line) and
    what would be good. Commands print it without a traceback; library users see
    an ordinary exception.
    """
