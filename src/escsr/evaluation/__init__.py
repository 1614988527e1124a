"""Quality and cost, measured by named protocols."""
