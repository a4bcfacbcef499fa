"""Program to program: conditioning, intervention, rebinding, densities."""
