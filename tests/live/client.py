"""A client of a running web UI, through its public API alone."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request

from PIL import Image

from lib_stability.trail.infotext import parse_text, read

NAME = "Memorization Guard"
#: Small and short: the answers are about bookkeeping, not beauty.
REQUEST = {"prompt": "a lighthouse", "seed": 7, "steps": 6, "cfg_scale": 7.0, "sampler_name": "Euler"}


class Reply:
    """One answer of txt2img or img2img."""

    def __init__(self, data: dict) -> None:
        self.info = json.loads(data["info"])
        self.files = [base64.b64decode(text.split(",", 1)[-1]) for text in data["images"]]
        self.images = [Image.open(io.BytesIO(data)) for data in self.files]
        self.infotexts = self.info["infotexts"]

    def params(self, number: int = 0) -> dict[str, str]:
        return parse_text(self.infotexts[number])[2]

    def verdict(self, number: int = 0):
        return read(self.params(number))

    def guard_keys(self) -> list[str]:
        return [key for text in self.infotexts for key in parse_text(text)[2] if key.startswith("MG ")]

    def pixels(self) -> list[bytes]:
        return [image.convert("RGB").tobytes() for image in self.images]


class WebUI:
    def __init__(self, url: str, size: int, account: str | None) -> None:
        self.url, self.size = url.rstrip("/"), size
        self.headers = {"Content-Type": "application/json"}
        self.account = account
        if account:
            self.headers["Authorization"] = "Basic " + base64.b64encode(account.encode()).decode()
        # Forge's own API stumbles over hires and infotext requests that leave this field out.
        self.wants_modules = "hr_additional_modules" in json.dumps(self.get("/openapi.json"))

    def upscaler(self) -> str:
        """One for hires fix that needs no file of its own."""
        status, modes = self.call("/sdapi/v1/latent-upscale-modes")
        if status == 404:  # the web UI in small takes any name
            return "Latent"
        latent = [one["name"] for one in modes]
        plain = [one["name"] for one in self.get("/sdapi/v1/upscalers") if one["name"] in ("Lanczos", "Nearest", "None")]
        return next(name for name in ("Latent", *latent, *plain[::-1]) if name in (*latent, *plain))

    def call(self, path: str, body: dict | None = None, headers: dict | None = None) -> tuple[int, object]:
        """Status and decoded JSON of a GET, or of a POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, self.headers if headers is None else headers)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, text

    def get(self, path: str) -> object:
        status, data = self.call(path)
        assert status == 200, (path, status, data)
        return data

    def body(self, guard: object = None, **more) -> dict:
        body = {**REQUEST, "width": self.size, "height": self.size, "save_images": False, **more}
        if self.wants_modules:
            body["hr_additional_modules"] = []
            body["styles"] = []  # without it the infotext field of Forge Neo's API answers 500
        if guard is not None:
            body["alwayson_scripts"] = {NAME: {"args": guard if isinstance(guard, list) else [guard]}}
        return body

    def txt2img(self, guard: object = None, **more) -> Reply:
        status, data = self.call("/sdapi/v1/txt2img", self.body(guard, **more))
        assert status == 200, (status, data)
        return Reply(data)

    def img2img(self, picture: bytes, guard: object = None, **more) -> Reply:
        init = base64.b64encode(picture).decode()
        status, data = self.call("/sdapi/v1/img2img", self.body(guard, init_images=[init], **more))
        assert status == 200, (status, data)
        return Reply(data)
