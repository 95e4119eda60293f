"""What tests of the mesh, here and elsewhere, need to make their inputs."""
