lab.predict("predict-or", {
    "helidon/frontend -> helidon/helidon": "allow",
    "helidon/batch -> helidon/helidon": "deny",
    "myproject/frontend -> helidon/helidon": "allow",
    "myproject/reports -> helidon/helidon": "allow",
    "other/frontend -> helidon/helidon": "deny",
    "other/stranger -> helidon/helidon": "deny",
})
