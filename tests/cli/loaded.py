"""What the process that others are forked from has loaded: all that a command or a sidecar loads, the tree of commands, and the
price list that a sidecar reads as it starts. Whoever is forked finds it there.
"""

import gc

import uvloop  # noqa: F401 - to be there

import creditmeter.central.schema.roles
import creditmeter.central.verification.verification
import creditmeter.server.app
import creditmeter.server.checking  # noqa: F401 - to be there
import tests.cli.terminal  # noqa: F401 - to be there
from creditmeter.catalog.installed import installed_price_list
from creditmeter.cli.all_commands import app
from creditmeter.cli.help_texts import command_of
from creditmeter.cli.main import serving

command_of(app)
command_of(serving)
installed_price_list()
gc.collect()
gc.freeze()  # or each child's first collection would write to, and so copy, all of the memory that it shares
