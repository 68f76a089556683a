"""Builds the documentation of every release into one site; `python -m deploy.site --help` lists the options.

versions   which versions the site has
building   one folder of pages for each, and the list from which the theme makes its selector
theme      what the site adds to the theme's templates
"""
