lab.predict("predict-open", {
    "shop/front -> office/laptop": "allow",
    "shop/app=catalog -> shop/front": "allow",
    "shop/app=catalog -> office/laptop": "allow",
    "office/laptop -> shop/front": "allow",
})
