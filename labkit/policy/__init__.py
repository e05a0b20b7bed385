"""What NetworkPolicies and a mesh's policies say: a pure engine. Objects in, decisions with reasons and truth tables out."""

from .decide import decide
from .decision import Decision, Half, PolicyStep, RuleStep, Step, Trap, Unselected, Why
from .difference import Change, TableDifference, difference
from .flow import Direction, Family, Flow, Verdict
from .labels import LabelSelector, Operator, Requirement, Selector, SelectorError
from .mesh.decision import Layer, LayerName, MeshDecision, Reason
from .mesh.jwtrules import Facts
from .mesh.meshconfig import MeshConfig
from .mesh.receiving import Outcome
from .meshed import decide_mesh
from .model import (
    ContainerPort,
    Namespace,
    Node,
    ObjectKey,
    Pod,
    Service,
    ServicePort,
    WorldError,
)
from .networkpolicy import (
    CompiledPolicy,
    IpBlock,
    Peer,
    PolicyError,
    PortMatch,
    Problem,
    Rule,
    compile_policy,
)
from .profile import CILIUM, KINDNET, Profile
from .request import HttpRequest
from .table import Cell, PortRange, TruthTable, atomic_ports, declared_ports, truth_table
from .world import World
from .yamlseam import SourcedObject, SourceMap, SourceWarning, YamlError, load, load_plain

__all__ = [
    "CILIUM",
    "KINDNET",
    "Cell",
    "Change",
    "CompiledPolicy",
    "ContainerPort",
    "Decision",
    "Direction",
    "Facts",
    "Family",
    "Flow",
    "Half",
    "HttpRequest",
    "IpBlock",
    "LabelSelector",
    "Layer",
    "LayerName",
    "MeshConfig",
    "MeshDecision",
    "Namespace",
    "Node",
    "ObjectKey",
    "Operator",
    "Outcome",
    "Peer",
    "Pod",
    "PolicyError",
    "PolicyStep",
    "PortMatch",
    "PortRange",
    "Problem",
    "Profile",
    "Reason",
    "Requirement",
    "Rule",
    "RuleStep",
    "Selector",
    "SelectorError",
    "Service",
    "ServicePort",
    "SourceMap",
    "SourceWarning",
    "SourcedObject",
    "Step",
    "TableDifference",
    "Trap",
    "TruthTable",
    "Unselected",
    "Verdict",
    "Why",
    "World",
    "WorldError",
    "YamlError",
    "atomic_ports",
    "compile_policy",
    "decide",
    "decide_mesh",
    "declared_ports",
    "difference",
    "load",
    "load_plain",
    "truth_table",
]
