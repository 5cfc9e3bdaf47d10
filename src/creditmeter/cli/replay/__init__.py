"""`creditmeter replay`: drive a sidecar with a trace of real calls, and check that nothing was lost or counted twice."""
