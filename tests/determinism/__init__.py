"""Same commands, same answers: across runs, machines, compilers and versions of this repository."""
