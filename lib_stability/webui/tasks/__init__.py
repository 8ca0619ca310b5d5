"""Long work on the loaded model or on files, and the routes that start it: calibration, prompt scan, audit.

Imports host and job, never the page.
"""
