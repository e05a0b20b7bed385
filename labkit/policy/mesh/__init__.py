"""What a service mesh adds: mutual TLS, tokens and authorization, decided as Istio and its Envoys decide them."""
