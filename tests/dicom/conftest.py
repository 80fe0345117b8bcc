"""Settings of the property tests in this folder."""

from hypothesis import settings

# A busy machine is slow now and then; that is no fault of the code.
settings.register_profile("dicomframe", deadline=None)
settings.load_profile("dicomframe")
