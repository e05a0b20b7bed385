"""The kind provider: clusters of real Kubernetes nodes, each a container, made by the program `kind`.

Each is kind's cluster `labkit-NAME`. Its kubeconfig lies in a folder of its own; the learner's own is left alone unless asked.
"""

from .provider import KindProvider

__all__ = ["KindProvider"]
