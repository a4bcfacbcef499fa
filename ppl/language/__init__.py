"""What can be said: models, sites, plates, distributions, networks and operations."""
