"""The documentation site: hand-written pages, and what writes the pages that follow from metadata. Not installed."""
