"""What Forge keeps beside its models: a dict, on Forge Neo a class that answers like one."""

from typing import ClassVar

from modules import shape


class _Items(type):
    def get(cls, key, default=None):
        return getattr(cls, key, default)

    def __getitem__(cls, key):
        return getattr(cls, key)

    def __setitem__(cls, key, value):
        setattr(cls, key, value)


class _Neo(metaclass=_Items):
    #: Pictures that an edit model's network reads.
    ref_latents: ClassVar[list] = []
    #: What conditioning wants in the infotext.
    last_extra_generation_params: ClassVar[dict] = {}


dynamic_args = _Neo if shape.NEO else {"embedding_dir": "./embeddings"}
