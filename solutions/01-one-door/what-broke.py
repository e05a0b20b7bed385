lab.answer("what-broke", "ingress")
