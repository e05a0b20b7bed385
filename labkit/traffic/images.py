"""The image that probes bring along where a pod has no tools of its own."""

from __future__ import annotations

#: Kubernetes' own image for network tests: a shell, curl, and `agnhost` itself. The demos run it too, so it is there already.
PROBE_IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.56"
