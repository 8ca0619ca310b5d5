"""LoRAs of the testbed: trained as trainers do, in files that web UIs load, and merged into the testbed's own networks to be measured.

Imports world, network and export, and the room of networks' files; evidence alone imports it, beside the commands.
"""
