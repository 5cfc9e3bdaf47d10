"""Services of others that a sidecar offers: what they have no answer to."""

import structlog

from tests.server.conftest import Services, failure


async def test_a_method_that_health_does_not_have(services: Services) -> None:
    """Probes of newer versions call it. It is NOT_IMPLEMENTED, and not logged: anybody may ask for health."""
    with structlog.testing.capture_logs() as entries:
        refused = await failure(services.send("/grpc.health.v1.Health/List", b""))
    assert (refused.code.name, refused.info.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")
    assert entries == []
