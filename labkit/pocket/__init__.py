"""The embedded Kubernetes cluster: API, controllers, node and images, in one daemon per cluster."""
