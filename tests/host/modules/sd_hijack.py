"""What A1111's text encoder wants in the infotext and in the page's comments."""


class _Hijack:
    def __init__(self):
        self.clear_comments()

    def clear_comments(self):
        self.comments, self.extra_generation_params = [], {}


model_hijack = _Hijack()
