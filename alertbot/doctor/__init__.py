"""What may be wrong with an installation: all that the configuration names is tried; each finding has a remedy"""
