"""Defenses inside other frameworks: torch DDP (``ddp``) and torch FSDP2 (``fsdp``)."""
