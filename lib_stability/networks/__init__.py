"""Files of extra networks: the layers of a LoRA, the base checkpoint's layers that they change, and filtering them.

Imports nothing of ours; torch and safetensors, on the CPU.
"""
