"""What is left of a verdict when a job is over: infotext, reading it back from pictures, the ledger, audits and scan reports.

Imports the guard and profiles, never a web UI, anything that draws or the testbed; pictures are read by their headers, and decoded by Pillow only
for thumbnails.
"""
