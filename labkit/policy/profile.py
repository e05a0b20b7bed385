"""How an implementation reads what the NetworkPolicy API leaves open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """One implementation's choices, where upstream allows several and clusters of both kinds are common.

    cidr_matches_pods: whether an ipBlock matches the address of a pod. The end-to-end suite, kindnet and
    Calico say yes; Cilium and Terway say no (cilium #9209, terway #904).
    """

    name: str
    cidr_matches_pods: bool = True


KINDNET = Profile("kindnet")
CILIUM = Profile("cilium", cidr_matches_pods=False)
