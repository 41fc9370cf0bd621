"""CPU, memory, files, network and GPU of the sidecar and of the model server: read here, named by `instruments`."""
