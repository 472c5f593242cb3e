"""The page of ``llmledger ui``: what is recorded, for everybody who would rather look than type.

Invariants:
- All state is in the address, so that every control is a link or a form, Back works, and a link can
  be passed on.
- It asks through LLMTraceReader and the daemon's status alone, with sums or bounded pages; payloads
  are fetched for the one call that is looked at.
- What was recorded is data: templates escape it, the browser's sanitizer comes after, and no policy
  of ours would let it reach another host.

``gate`` lets nobody in without the token; ``view`` reads and writes addresses; ``asking`` puts the
questions; ``figures``, ``charts`` and ``formatting`` are pure; ``pages`` and ``shell`` alone know
NiceGUI, ``serving`` alone knows sockets.
"""
