"""What people see and set: the accordion, the verdict under a picture, the tab, the axes of the X/Y/Z plot.

May import every other room of the web UI, and gradio and the host's classes at once, since it runs nowhere else; nothing imports it but
:func:`lib_stability.webui.register` and the entry file.
"""
