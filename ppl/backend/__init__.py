"""The compiler: lowering, emission, and the two backends behind one seam."""
