lab.answer("read-empty", ["helidon/frontend", "helidon/batch"])
