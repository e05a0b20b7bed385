lab.answer("read-and", ["myproject/frontend"])
