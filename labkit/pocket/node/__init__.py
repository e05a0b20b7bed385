"""The node: what a kubelet and a container runtime are on a real one.

The daemon's side (`kubelet`, `pod`, `probes`, ...) runs on its loop and only talks to the zygote, a small
single-threaded process that is pid 1 of the cluster's PID namespace and forks every container (`zygote`, `rootfs`,
`process`).
"""
