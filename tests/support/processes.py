"""Whether processes that others started are gone."""

import psutil


def is_alive(process: psutil.Process) -> bool:
    """An ended orphan may stay a zombie where nobody collects them, as in a container without an init."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
