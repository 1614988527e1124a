"""The machine: devices and their memory, precision, the allocator."""
