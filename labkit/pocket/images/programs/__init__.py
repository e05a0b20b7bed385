"""The programs behind the stand-ins, one small module each: `main(argv) -> exit code`, run as a container's process."""
