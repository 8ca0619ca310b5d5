"""Names of profiles as people, settings and infotexts write them."""

from __future__ import annotations

import json

from lib_stability.shell import cli
from lib_stability.trail.infotext import Settings, format_line, parse_line, read, write
from lib_stability.webui.job.library import Library


def test_a_name_with_two_spaces_can_be_chosen(profile, tmp_path, capsys):
    """An infotext holds no two spaces in a row, so no name does; whoever asks with two means the same."""
    path = tmp_path / "spaced.json"
    path.write_text(json.dumps({**profile.to_json(), "name": "two  spaces   more"}))
    library = Library((tmp_path,))
    for asked in ("two  spaces   more", "two spaces more"):
        served = library.serve(Settings(profile=asked).profile, profile.model)
        assert served.profile is not None and served.profile.name in library.names() and served.why == "chosen by name"
        assert read(parse_line(format_line(write(Settings(True, profile=asked), None))))[0].profile == served.profile.name
        assert cli.main(["profiles", asked, "--folder", str(tmp_path)]) == 0 and "two spaces more: " in capsys.readouterr().out
    assert cli.main(["profiles", "delete", "two  spaces   more", "--folder", str(tmp_path)]) == 0 and not path.exists()
