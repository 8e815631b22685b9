"""Under how many names malicious clients take part."""
