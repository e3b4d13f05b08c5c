"""The flow of a session in which what concerns data goes, so that it arrives in order."""

#: Jobs, which are the other flows, are numbered from 1.
DATA_FLOW = 0
