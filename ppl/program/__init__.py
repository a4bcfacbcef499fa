"""The program IR: values, operations, distributions, statements, queries and checks."""
