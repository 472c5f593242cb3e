"""Payload placement: in the row, nowhere, or in object storage.

Invariants:
- A row that names an object is inserted after the object is stored, so that every reference is valid.
- Sizes, tokens, usage and errors in the row are those of the payloads as they were received.
- The same line of the same segment makes the same objects, so that a repeated upload changes nothing.

``policy`` and ``sampling`` decide, ``names``, ``object_format``, ``attachments`` and ``treatment`` make objects of
payloads and payloads of objects; all of these are pure. ``objects`` alone speaks to object storage;
``uploading``, ``fetching`` and ``cleaning`` use it.
"""
