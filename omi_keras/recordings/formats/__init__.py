"""File formats, one module each: bytes → :class:`~omi_keras.recordings.formats.recording.Recording`.

Only :mod:`omi_keras.recordings.readers` chooses between them. A header is a claim, so every number of it is held
against the bytes that are there before anything is allocated; libraries are used where they are safer than a
page of our own, and are imported when a file needs them.
"""
