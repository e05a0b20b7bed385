# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Find your way
#
# **25 minutes. You need:** nothing but curiosity. If you have never used Kubernetes, begin here.
#
# **After it you can** find pods, their addresses and labels, start a pod of your own, and say who may talk to whom in a cluster that nobody
# has locked yet.
#
# ## The story
#
# You have the keys to a small bookshop. It runs in Kubernetes: a front end for its customers, and a catalogue in two copies, in the namespace
# `shop`. In the namespace `office` there is one laptop. Before you lock any door, walk through the rooms.
#
# ## How this notebook works
#
# Read, then run each cell with **Shift+Enter**. Some cells have a task and a check. A check looks at what your cluster does; how you got
# there is up to you. You may take hints, reset a step, and try again as often as you like.

# %%
# %load_ext labkit
from labkit import Lab

lab = Lab("00-find-your-way")
lab.setup()

# %% [markdown]
# The line above says which cluster you have, and what was installed. Open a terminal beside this notebook (**File → New → Terminal**). There,
# `kubectl` is the real one, and it already talks to your cluster:
#
#     kubectl get namespaces
#     kubectl get pods -n shop
#
# ## 1 · Pods
#
# A **pod** is the smallest thing that Kubernetes runs: a program with an address of its own. Pods live in **namespaces**. A namespace is a
# folder for names.
#
# How many pods run in the namespace `shop`? Find out in the terminal, and put the number in.

# %%
lab.start("count-pods")

# %% tags=["starter"]
lab.answer("count-pods", "?")

# %% tags=["solution"] step="count-pods"
lab.answer("count-pods", 3)

# %%
lab.check("count-pods")

# %% [markdown]
# Stuck? `lab.hint("count-pods")` shows one hint at a time, and `lab.reset("count-pods")` puts the step back to its beginning.

# %% [markdown]
# ## 2 · Addresses
#
# Every pod has an IP address of its own. Which one does the pod `laptop` in the namespace `office` have?

# %%
lab.start("find-address")

# %% tags=["starter"]
lab.answer("find-address", "?")

# %% tags=["solution"] step="find-address"
lab.answer("find-address", lab.cluster.get("Pod", "laptop", "office")["status"]["podIP"])

# %%
lab.check("find-address")

# %% [markdown]
# Stuck? `lab.hint("find-address")` shows one hint at a time, and `lab.reset("find-address")` puts the step back to its beginning.

# %% [markdown]
# ## 3 · Who may talk to whom
#
# Pods are connected by a network. No policy exists yet. What do you think: may the laptop in the office open a connection to the front end in the shop?
# And the other way round?
#
# Fill in the table: click on a cell until it shows what you expect. ✓ gets through, ✗ does not. (With the keyboard: arrow keys move, the space bar
# changes the cell.)

# %%
lab.start("predict-open")

# %% tags=["starter"]
lab.predict("predict-open")

# %% tags=["solution"] step="predict-open"
lab.predict("predict-open", {
    "shop/front -> office/laptop": "allow",
    "shop/app=catalog -> shop/front": "allow",
    "shop/app=catalog -> office/laptop": "allow",
    "office/laptop -> shop/front": "allow",
})

# %%
lab.check("predict-open")

# %% [markdown]
# Stuck? `lab.hint("predict-open")` shows one hint at a time, and `lab.reset("predict-open")` puts the step back to its beginning.

# %% [markdown]
# The picture says the same. Solid blue lines with a tick are connections that work. There is no line that does not.

# %%
lab.graph()

# %% [markdown]
# Do not take it from a picture. In the terminal, call the catalogue from the laptop, by name:
#
#     kubectl exec -n office laptop -- curl -s -m 3 http://catalog.shop/hostname
#
# Run it a few times. The answer is the name of the pod that served you. There are two copies, and the **Service** `catalog` hands your calls to one or
# the other.
#
# ## 4 · Labels
#
# Policies never name a pod. They choose pods by **labels**, which are pairs of a key and a value. Look at them:
#
#     kubectl get pods -A --show-labels
#
# Put the label `tier=public` on the pod `front` in the namespace `shop`. Use `kubectl` in the terminal, or the cell below; a cell that begins with
# `!` runs a command.

# %%
lab.start("put-a-label")

# %% tags=["starter"]
# !kubectl label ...

# %% tags=["solution"] step="put-a-label"
!kubectl label pod front -n shop tier=public --overwrite

# %%
lab.check("put-a-label")

# %% [markdown]
# Stuck? `lab.hint("put-a-label")` shows one hint at a time, and `lab.reset("put-a-label")` puts the step back to its beginning.

# %% [markdown]
# ## 5 · A pod of your own
#
# The shop wants a reading room. Start a pod called `reading-room` in the namespace `office`, with the label `app=reading-room`. It should run the same
# program as the laptop, and answer on port 8080. A cell that begins with `%%apply` sends the YAML below it to the cluster, as `kubectl apply` does.

# %%
lab.start("start-a-pod")

# %% tags=["starter"]
# %%apply
# apiVersion: v1
# kind: Pod
# metadata:
#   name: reading-room
# spec:
#   containers:
#     - name: reading-room
#       image: registry.k8s.io/e2e-test-images/agnhost:2.56
#       args: [netexec, --http-port=8888]

# %% tags=["solution"] step="start-a-pod"
# %%apply
# apiVersion: v1
# kind: Pod
# metadata:
#   name: reading-room
#   namespace: office
#   labels:
#     app: reading-room
# spec:
#   containers:
#     - name: reading-room
#       image: registry.k8s.io/e2e-test-images/agnhost:2.56
#       args: [netexec, --http-port=8080]
#       ports:
#         - containerPort: 8080

# %%
lab.check("start-a-pod")

# %% [markdown]
# Stuck? `lab.hint("start-a-pod")` shows one hint at a time, and `lab.reset("start-a-pod")` puts the step back to its beginning.

# %%
lab.graph()

# %% [markdown]
# ## What you take home
#
# - A pod has an address and labels. A namespace is a folder, not a wall.
# - `kubectl get pods -A -o wide --show-labels` shows nearly all that you need to know.
# - Without a NetworkPolicy, everything can talk to everything: your new pod reached the catalogue without asking anybody.
#
# In the next chapter somebody takes advantage of that.

# %%
lab.progress()
