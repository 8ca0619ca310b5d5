"""Long work on the loaded model or on files, and the routes that start it: calibration, prompt scan, audit.

Imports host and job, the guard, profiles and the trail, never the page or anything that draws; the host itself only when something is called.
"""
