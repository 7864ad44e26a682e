"""What this machine takes for each step (`whatwhere bench`)."""
