"""A page in the browser and an HTTP API: `escsr serve`.

`server` starts it, `app` and `routes` answer requests behind `guard`, `jobs` keeps what was sent, `worker`
upscales it, and `codec` reads and writes files in a process of its own, which `sandbox` watches.
"""
