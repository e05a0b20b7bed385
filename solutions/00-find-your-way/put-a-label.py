!kubectl label pod front -n shop tier=public --overwrite
