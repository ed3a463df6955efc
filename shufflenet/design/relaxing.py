"""Why nothing."""
def nothing_fits(problem, field, asked):
    return "nothing fits"
def nothing_legal(space):
    return "nothing legal"
