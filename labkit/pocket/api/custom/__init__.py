"""Custom resources: what CustomResourceDefinitions define, read, checked and shown as a real server does.

`definitions` has the rules for a CustomResourceDefinition itself (`schemarules` those for its schemas), `structural`
compiles its schemas, `conforming` prunes and fills in by them, `validation` (with `formats`) and `celrules` (with `cel`)
find what is wrong, `judging` puts these to work, `columns` makes the cells of `kubectl get`, `kind` puts it all together
for one version, and `serving` puts what is established into the registry. Upstream: k8s.io/apiextensions-apiserver.
"""
