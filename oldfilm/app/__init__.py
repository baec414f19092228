"""The page of `oldfilm app`: visitors restore their films in a browser.

`workspace` and `jobs` keep films and run jobs; they work without Gradio. `page` shows them.
"""
