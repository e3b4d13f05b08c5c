"""Settings all tests share."""

from hypothesis import settings

# How long one example takes depends on the machine; the 60 s of each test bound it instead.
settings.register_profile("manyhands", deadline=None, print_blob=True)
settings.load_profile("manyhands")
