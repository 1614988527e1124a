"""Quality and cost of any super-resolver, measured by named protocols."""
