"""Tests of permissions as they hold for people: root may do anything, so as root they are run as another user."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

IS_ROOT = os.geteuid() == 0

A_GROUP = pwd.getpwnam("nobody").pw_gid if IS_ROOT else (os.getgroups() or [os.getegid()])[-1]
"""A group that this process may give files to; not its own one, if it has the choice."""


@contextmanager
def unprivileged(group: int | None = None) -> Iterator[None]:
    """What root does in the block, in all threads, it does as user nobody, with this group alone. Others have no privileges."""
    if not IS_ROOT:
        yield
        return
    import_module("tests.cli.loaded")  # where Python is root's alone, nothing can be loaded later
    nobody = pwd.getpwnam("nobody")
    groups, own = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(nobody.pw_gid if group is None else group)
    os.seteuid(nobody.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own)
        os.setgroups(groups)
