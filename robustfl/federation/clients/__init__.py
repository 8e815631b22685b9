"""What clients compute: one path for honest, malicious, trusted and relabelled training."""
