"""What Python tools need to know about the kernel. The kernel itself needs nothing of this."""
