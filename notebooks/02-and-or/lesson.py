# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · AND or OR
#
# **35 minutes. You need:** chapter 01, or an idea of what a NetworkPolicy is.
#
# **After it you can** read a `from` list and say which pods it lets in, tell an AND from an OR by one dash, and write the one you mean.
#
# ## The story
#
# Helidon is a small web service. Six pods live around it, in three namespaces. Every week somebody writes to the team that runs helidon:
# "Please let these pods in." The sentences are short. The policies are short as well. And still, every other week, the wrong pods get in.
#
# Most of the time, the difference is one dash. In this chapter you learn to see it.

# %%
# %load_ext labkit
from labkit import Lab

lab = Lab("02-and-or")
lab.setup()

# %% [markdown]
# ## Who is who
#
# The picture shows helidon and its six clients, each with its labels. Nothing is locked yet, so everybody may talk to everybody. Click on a
# pod to see only its own connections, and on a connection to read who decided about it.

# %%
lab.graph()

# %% [markdown]
# The same in a terminal (**File → New → Terminal**), with the real `kubectl`. It already talks to this cluster:
#
#     kubectl get pods -A --show-labels
#     kubectl get namespaces --show-labels
#
# Two labels matter in this chapter: `project=myproject` sits on a **namespace**, and `role=...` sits on **pods**.

# %% [markdown]
# ## 1 · Read a policy
#
# A policy selects pods with `podSelector`; here it selects helidon. From that moment, nobody may connect to helidon, except those whom a rule
# lets in. The next cell puts this policy in force:
#
# ```yaml
#   ingress:
#     - from:
#         - namespaceSelector:
#             matchLabels:
#               project: myproject
#           podSelector:
#             matchLabels:
#               role: frontend
#       ports:
#         - port: 8080
# ```
#
# Read it before you try anything. Which of the six clients get in?

# %%
lab.start("read-and")

# %% tags=["starter"]
lab.answer("read-and", [
    # write the names here, like "other/stranger", one string each
])

# %% tags=["solution"] step="read-and"
lab.answer("read-and", ["myproject/frontend"])

# %%
lab.check("read-and")

# %% [markdown]
# Stuck? `lab.hint("read-and")` shows one hint at a time, and `lab.reset("read-and")` puts the step back to its beginning.

# %% [markdown]
# Now look at what the cluster does. The table shows who reaches whom on port 8080. Click on a cell: the panel names the policy, the rule
# and the line that decided.

# %%
lab.table(port=8080)

# %% [markdown]
# ## 2 · Predict what one dash does
#
# Now the same policy, with **one character more**: a dash before `podSelector`.
#
# ```yaml
#     - from:
#         - namespaceSelector:
#             matchLabels:
#               project: myproject
#         - podSelector:
#             matchLabels:
#               role: frontend
# ```
#
# Predict first. In the table below, click on a cell until it shows what you expect: ✓ gets in, ✗ does not. (With the keyboard: arrow keys move,
# the space bar changes the cell.) Then check.

# %%
lab.start("predict-or")

# %% tags=["starter"]
lab.predict("predict-or")

# %% tags=["solution"] step="predict-or"
lab.predict("predict-or", {
    "helidon/frontend -> helidon/helidon": "allow",
    "helidon/batch -> helidon/helidon": "deny",
    "myproject/frontend -> helidon/helidon": "allow",
    "myproject/reports -> helidon/helidon": "allow",
    "other/frontend -> helidon/helidon": "deny",
    "other/stranger -> helidon/helidon": "deny",
})

# %%
lab.check("predict-or")

# %% [markdown]
# Your prediction, the engine's answer and what the cluster really did now stand side by side. Where they differ, click, and read why.
#
# > A dash begins a new entry of a list. **Inside** one entry, everything must match: AND. **Between** entries, one is enough: OR.

# %% [markdown]
# Stuck? `lab.hint("predict-or")` shows one hint at a time, and `lab.reset("predict-or")` puts the step back to its beginning.

# %% [markdown]
# ## 3 · Mend the policy
#
# The team of helidon had asked for this:
#
# > Pods with `role=frontend` from namespaces with `project=myproject` may call helidon on port 8080. Nobody else.
#
# The policy in force lets in too many. Mend it here, or in a terminal with `kubectl edit networkpolicy helidon-callers -n helidon`. Both
# count: the check looks at what the cluster does, not at how you wrote it.

# %%
lab.start("mend-or")

# %% tags=["starter"]
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: helidon-callers
#   namespace: helidon
# spec:
#   podSelector:
#     matchLabels:
#       app: helidon
#   policyTypes: [Ingress]
#   ingress:
#     - from:
#         - namespaceSelector:
#             matchLabels:
#               project: myproject
#         - podSelector:
#             matchLabels:
#               role: frontend
#       ports:
#         - port: 8080

# %% tags=["solution"] step="mend-or"
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: helidon-callers
#   namespace: helidon
# spec:
#   podSelector:
#     matchLabels:
#       app: helidon
#   policyTypes: [Ingress]
#   ingress:
#     - from:
#         - namespaceSelector:
#             matchLabels:
#               project: myproject
#           podSelector:
#             matchLabels:
#               role: frontend
#       ports:
#         - port: 8080

# %%
lab.check("mend-or")

# %% [markdown]
# Stuck? `lab.hint("mend-or")` shows one hint at a time, and `lab.reset("mend-or")` puts the step back to its beginning.

# %% [markdown]
# The check did more than try today's pods. It also asked what would happen in worlds that do not exist yet: a second namespace with the
# same label, and a frontend in a namespace without it. A policy that is right only by luck does not pass.
#
# What did your change do? The graph marks the connections that differ from the last picture:

# %%
lab.graph()

# %% [markdown]
# ## 4 · Write an OR
#
# Sometimes an OR is what you want. Helidon is closed now, and a new sentence has come in:
#
# > Every pod of the namespaces with `project=myproject`, **and** the pods with `role=batch` in our own namespace, may call helidon on
# > port 8080. Nobody else.
#
# People say "and" here. Think of one single pod: must it be in both groups?

# %%
lab.start("write-or")

# %% tags=["starter"]
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: helidon-callers
#   namespace: helidon
# spec:
#   podSelector:
#     matchLabels:
#       app: helidon
#   policyTypes: [Ingress]
#   ingress:
#     # your rule goes here
#     []

# %% tags=["solution"] step="write-or"
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: helidon-callers
#   namespace: helidon
# spec:
#   podSelector:
#     matchLabels:
#       app: helidon
#   policyTypes: [Ingress]
#   ingress:
#     - from:
#         - namespaceSelector:
#             matchLabels:
#               project: myproject
#         - podSelector:
#             matchLabels:
#               role: batch
#       ports:
#         - port: 8080

# %%
lab.check("write-or")

# %% [markdown]
# Stuck? `lab.hint("write-or")` shows one hint at a time, and `lab.reset("write-or")` puts the step back to its beginning.

# %% [markdown]
# ## 5 · Read two braces
#
# An empty selector, `{}`, has no conditions. So everything fulfils it. But everything *where*? The policy in force has this peer, and no other:
#
# ```yaml
#     - from:
#         - podSelector: {}
# ```
#
# Which pods get in to helidon on port 8080?

# %%
lab.start("read-empty")

# %% tags=["starter"]
lab.answer("read-empty", [
    # the names
])

# %% tags=["solution"] step="read-empty"
lab.answer("read-empty", ["helidon/frontend", "helidon/batch"])

# %%
lab.check("read-empty")

# %% [markdown]
# Stuck? `lab.hint("read-empty")` shows one hint at a time, and `lab.reset("read-empty")` puts the step back to its beginning.

# %% [markdown]
# ## 6 · Frontends, wherever they live
#
# > Every pod with `role=frontend`, in whatever namespace, may call helidon on port 8080. Nobody else.
#
# You have all the parts: an AND, and braces that choose everything.

# %%
lab.start("write-everywhere")

# %% tags=["starter"]
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: helidon-callers
#   namespace: helidon
# spec:
#   podSelector:
#     matchLabels:
#       app: helidon
#   policyTypes: [Ingress]
#   ingress:
#     # your rule goes here
#     []

# %% tags=["solution"] step="write-everywhere"
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: helidon-callers
#   namespace: helidon
# spec:
#   podSelector:
#     matchLabels:
#       app: helidon
#   policyTypes: [Ingress]
#   ingress:
#     - from:
#         - namespaceSelector: {}
#           podSelector:
#             matchLabels:
#               role: frontend
#       ports:
#         - port: 8080

# %%
lab.check("write-everywhere")

# %% [markdown]
# Stuck? `lab.hint("write-everywhere")` shows one hint at a time, and `lab.reset("write-everywhere")` puts the step back to its beginning.

# %% [markdown]
# ## 7 · The other dash
#
# The same trap waits one level up. A rule has `from` and `ports`. This policy is in force:
#
# ```yaml
#   ingress:
#     - from:
#         - namespaceSelector:
#             matchLabels:
#               project: myproject
#           podSelector:
#             matchLabels:
#               role: frontend
#     - ports:
#         - port: 8080
# ```
#
# Somebody had wanted: *Frontends of `project=myproject` may call helidon on port 8080. Nobody else, and no other port.* Helidon also listens
# on 9090, for its administrators. Look at both ports:

# %%
lab.start("mend-ports")

# %%
lab.table()

# %% tags=["starter"]
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: helidon-callers
#   namespace: helidon
# spec:
#   podSelector:
#     matchLabels:
#       app: helidon
#   policyTypes: [Ingress]
#   ingress:
#     - from:
#         - namespaceSelector:
#             matchLabels:
#               project: myproject
#           podSelector:
#             matchLabels:
#               role: frontend
#     - ports:
#         - port: 8080

# %% tags=["solution"] step="mend-ports"
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: helidon-callers
#   namespace: helidon
# spec:
#   podSelector:
#     matchLabels:
#       app: helidon
#   policyTypes: [Ingress]
#   ingress:
#     - from:
#         - namespaceSelector:
#             matchLabels:
#               project: myproject
#           podSelector:
#             matchLabels:
#               role: frontend
#       ports:
#         - port: 8080

# %%
lab.check("mend-ports")

# %% [markdown]
# Stuck? `lab.hint("mend-ports")` shows one hint at a time, and `lab.reset("mend-ports")` puts the step back to its beginning.

# %% [markdown]
# ## What you take home
#
# - A dash begins a new entry of a list. Entries are alternatives (OR). Fields inside an entry belong together (AND).
# - This holds for the peers in `from` and `to`, and for the rules in `ingress` and `egress`.
# - `podSelector` alone looks into the policy's own namespace. `namespaceSelector` alone takes all pods there.
# - `{}` chooses everything; where it stands says everything of what.
# - When you review somebody's policy: count the dashes first.
#
# Where you stand:

# %%
lab.progress()
