lab.answer("find-address", lab.cluster.get("Pod", "laptop", "office")["status"]["podIP"])
