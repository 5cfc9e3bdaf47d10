"""Takes an account out of quarantine while no sidecar runs.

The start of a sidecar makes the same checks of the data directory and of the journal.
"""

from creditmeter.core.ids import AccountId
from creditmeter.files.placement import Placement
from creditmeter.journal.connection import connect
from creditmeter.journal.durability import Durability
from creditmeter.journal.faults import JournalUnusable, damaged
from creditmeter.journal.quarantine import SetAside, accept_loss
from creditmeter.journal.reindexing import mend_index
from creditmeter.journal.rows import RowUnreadable, read_identity
from creditmeter.journal.upgrade_log import logged_progress
from creditmeter.server.config import Settings
from creditmeter.server.data_directory import DataDirectory
from creditmeter.server.exits import DAMAGED, StartupError
from creditmeter.server.opening import locked_files


async def accept_loss_of(settings: Settings, account_id: AccountId) -> SetAside | None:
    """Go on from what can be read of an account. Returns what is left of it, and what is not; None if it is not damaged.

    Raises:
        StartupError: a sidecar runs, or the journal cannot be used.
    """
    with locked_files(settings):
        directory = DataDirectory(settings)
        await directory.check()
        try:
            return await _accepted(settings, directory, account_id)
        except JournalUnusable as error:
            raise StartupError(str(error), DAMAGED) from error
        except RowUnreadable as error:
            raise StartupError(damaged(settings.journal_path, error), DAMAGED) from error
        finally:
            directory.closed()


async def _accepted(settings: Settings, directory: DataDirectory, account_id: AccountId) -> SetAside | None:
    connection = await connect(settings.journal_path, Durability.FULL, logged_progress())
    try:
        directory.keep_open(Placement(settings.journal_path))
        identity = await connection.run(read_identity)
        if identity is None:
            return None
        await connection.run(mend_index, identity.sidecar_id)
        return await connection.run(accept_loss, identity.sidecar_id, account_id)
    finally:
        await connection.close()
