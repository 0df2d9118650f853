"""What tests stand on: engines, nodes, people."""
