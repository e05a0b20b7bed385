# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Deny all, and one door
#
# **40 minutes. You need:** chapter 00.
#
# **After it you can** close a namespace, open one door in it for one caller on one port, see what else that breaks, and find out why.
#
# ## The story
#
# The blog of a small bakery runs on WordPress. WordPress keeps its texts in MySQL. Both run in the namespace `blog`, beside a pod that
# makes backups. Last week somebody in the street connected to the database, guessed the password, and changed the price of bread.
#
# Nothing was broken into. The door was open: in a new cluster, everything can talk to everything. Today you close all doors and then open
# the few that are needed. This is the idea of zero trust: being inside is no permission.

# %%
# %load_ext labkit
from labkit import Lab

lab = Lab("01-one-door")
lab.setup()

# %%
lab.graph()

# %% [markdown]
# The demo is the one of the Kubernetes tutorial "Deploying WordPress and MySQL with Persistent Volumes", with the same names and labels. Read
# the blog as a visitor does. In a terminal:
#
#     kubectl exec -n street visitor -- curl -sL -m 5 http://wordpress.blog
#
# A page in HTML comes back. The bakery's blog is new, so it is the page with which WordPress greets its owner: "Installation". Then try what
# nobody should be able to do, connect to the database from the street:
#
#     kubectl exec -n street visitor -- /agnhost connect --timeout=3s wordpress-mysql.blog:3306 && echo "I am in"

# %% [markdown]
# ## 1 · Close the namespace
#
# A NetworkPolicy chooses pods with `podSelector`. As soon as one policy chooses a pod for a direction (`Ingress`: towards the pod, `Egress`:
# away from it), everything in this direction is forbidden, but for what some policy allows.
#
# So a policy that chooses **every** pod and allows **nothing** closes the whole namespace. Write it. It should close the way in, and only
# the way in: pods in `blog` may still call out.
#
# Before you apply it: what will a visitor see then, an error at once, or something else?

# %%
lab.start("close-blog")

# %% tags=["starter"]
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: closed
#   namespace: blog
# spec:
#   podSelector:
#     matchLabels:
#       app: wordpress
#   policyTypes: [Ingress]
#   # what is missing?

# %% tags=["solution"] step="close-blog"
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: closed
#   namespace: blog
# spec:
#   podSelector: {}
#   policyTypes: [Ingress]

# %%
lab.check("close-blog")

# %% [markdown]
# Stuck? `lab.hint("close-blog")` shows one hint at a time, and `lab.reset("close-blog")` puts the step back to its beginning.

# %% [markdown]
# Try the two commands from above again. No door is slammed: there is silence, and when the time is up, `curl` ends with exit code 28 and
# `connect` says TIMEOUT. A NetworkPolicy does not refuse a connection; it drops the packets. Whoever knocks cannot tell a closed door from
# an empty house.

# %% [markdown]
# ## 2 · What broke, and why
#
# You closed the door against the street. You also closed it against your own WordPress:
#
#     kubectl exec -n blog backup -- curl -sL -m 5 http://wordpress.blog
#
# Nothing answers here, because `backup` may not reach WordPress either. And if WordPress is asked from inside its own pod, it has to wait for
# its database, in vain, and says "Error establishing a database connection". WordPress and MySQL live in the same namespace, and that does not help.
#
# Every connection is asked two questions: may it **leave** its source (egress), and may it **enter** its destination (ingress)? Which of
# the two stopped WordPress on its way to MySQL?

# %%
lab.start("what-broke")

# %% tags=["starter"]
lab.answer("what-broke", "...")

# %% tags=["solution"] step="what-broke"
lab.answer("what-broke", "ingress")

# %%
lab.check("what-broke")

# %% [markdown]
# You can ask for the whole reason, with both halves and every policy that had a say. `lab.why` works for any two pods:

# %%
lab.why("blog/tier=frontend", "blog/tier=mysql", 3306)

# %% [markdown]
# Stuck? `lab.hint("what-broke")` shows one hint at a time, and `lab.reset("what-broke")` puts the step back to its beginning.

# %% [markdown]
# ## 3 · Open one door
#
# Policies only ever **add** permissions; none can take away what another one gives. So leave `closed` as it is, and add a second policy which
# lets WordPress in to MySQL, on port 3306, and does nothing else.
#
# A question to ask yourself first: the door is at MySQL. Which pod does your policy have to select?

# %%
lab.start("open-one-door")

# %% tags=["starter"]
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: mysql-door
#   namespace: blog
# spec:
#   podSelector: {}
#   policyTypes: [Ingress]
#   ingress:
#     # your rule goes here
#     []

# %% tags=["solution"] step="open-one-door"
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: mysql-door
#   namespace: blog
# spec:
#   podSelector:
#     matchLabels:
#       app: wordpress
#       tier: mysql
#   policyTypes: [Ingress]
#   ingress:
#     - from:
#         - podSelector:
#             matchLabels:
#               app: wordpress
#               tier: frontend
#       ports:
#         - port: 3306

# %%
lab.check("open-one-door")

# %%
lab.graph()

# %% [markdown]
# Stuck? `lab.hint("open-one-door")` shows one hint at a time, and `lab.reset("open-one-door")` puts the step back to its beginning.

# %% [markdown]
# ## 4 · Let the readers in
#
# The database is safe. The blog is, too: nobody can read it. Let everybody connect to WordPress on port 80, from every namespace **and from outside
# the cluster**. Nothing else may change.
#
# How does a rule say "everybody"? Think of what it means when a field is not there.

# %%
lab.start("let-readers-in")

# %% tags=["starter"]
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: visitors
#   namespace: blog
# spec:
#   podSelector: {}
#   policyTypes: [Ingress]
#   ingress:
#     # your rule goes here
#     []

# %% tags=["solution"] step="let-readers-in"
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: visitors
#   namespace: blog
# spec:
#   podSelector:
#     matchLabels:
#       app: wordpress
#       tier: frontend
#   policyTypes: [Ingress]
#   ingress:
#     - ports:
#         - port: 80

# %%
lab.check("let-readers-in")

# %% [markdown]
# Stuck? `lab.hint("let-readers-in")` shows one hint at a time, and `lab.reset("let-readers-in")` puts the step back to its beginning.

# %% [markdown]
# ## 5 · Nothing works, and yet everything is allowed
#
# A colleague has read about zero trust as well and closed the way **out**: nobody in `blog` may call anything, but WordPress may call MySQL on 3306. On
# paper that is just right. Then the phone rings: the blog shows "Error establishing a database connection".
#
# Put it in force, and look at what WordPress sees:

# %%
lab.start("names-again")

# %%
lab.observe("blog/tier=frontend", "service:blog/wordpress-mysql", 3306)

# %% [markdown]
# Not a timeout. Another word. WordPress has not even tried to connect to the database. Ask yourself what must happen **before** a connection to a
# name like `wordpress-mysql`, and who in the cluster does that.
#
#     kubectl get pods -n kube-system --show-labels
#
# Add what is missing, for all pods in `blog`, and only that.

# %% tags=["starter"]
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: names
#   namespace: blog
# spec:
#   podSelector: {}
#   policyTypes: [Egress]
#   egress:
#     # your rule goes here
#     []

# %% tags=["solution"] step="names-again"
# %%apply
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: names
#   namespace: blog
# spec:
#   podSelector: {}
#   policyTypes: [Egress]
#   egress:
#     - to:
#         - namespaceSelector:
#             matchLabels:
#               kubernetes.io/metadata.name: kube-system
#           podSelector:
#             matchLabels:
#               k8s-app: kube-dns
#       ports:
#         - port: 53
#           protocol: UDP
#         - port: 53
#           protocol: TCP

# %%
lab.check("names-again")

# %% [markdown]
# Stuck? `lab.hint("names-again")` shows one hint at a time, and `lab.reset("names-again")` puts the step back to its beginning.

# %% [markdown]
# ## What you take home
#
# - Without a policy everything is open. The first policy that selects a pod closes it, in the directions that `policyTypes` names.
# - `podSelector: {}` chooses every pod of the namespace, also those that come tomorrow.
# - Policies add permissions. Deny all first, then open one door after the other.
# - A connection needs both halves: it must be allowed to leave, and to enter.
# - Who closes the way out has to let names through: port 53, UDP and TCP, to kube-dns.
# - A dropped packet is silent. Where a timeout puzzles you, ask which half and which policy.

# %%
lab.progress()
