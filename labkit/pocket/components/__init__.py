"""Embedded counterparts of what is installed into a cluster: cert-manager now, a service mesh later.

A cluster serves the kind Component (`pocket.labkit.dev/v1`, see `resource`). Creating `{name: cert-manager}` turns the
counterpart on (`controller`): its CustomResourceDefinitions and objects are made, its controllers run inside the
daemon. Deleting it turns everything off again. `registry` knows them; each is a module of its own.
"""
