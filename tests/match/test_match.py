"""An index of pictures on the disk: made, kept up to date, broken off and gone on with, damaged, read by several, and what it finds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_stability.match import building, describing, finding, opening, search, store, threshold
from lib_stability.match.search import Index
from lib_stability.validation import ValidationError

PIXELS = describing.by_pixels()


def picture(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A few large shapes: like natural pictures it has most of its content in coarse structure."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 255, (6, 6, 3)).astype(np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def pictures(tmp_path) -> Path:
    top = tmp_path / "pictures"
    (top / "deep").mkdir(parents=True)
    for seed in range(50):
        picture(seed).save(top / ("deep" if seed % 2 else "") / f"{seed:02}.png")
    return top


@pytest.fixture
def made(tmp_path, pictures) -> Path:
    building.build(tmp_path / "index", [pictures], PIXELS)
    return tmp_path / "index"


def found(folder: Path, image: Image.Image, describer=PIXELS, count: int = 3) -> list[finding.Near]:
    with Index(folder) as index:
        return finding.near(index, describer, [opening.square(image, describer.side)], count)[0]


def names(folder: Path) -> list[str]:
    with Index(folder) as index:
        return sorted(index.source(row).name for row in range(len(index.rows)))


# -- what it finds -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "altered",
    [
        lambda one: one,
        lambda one: one.resize((300, 300)),
        lambda one: one.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda one: one.point(lambda value: value * 0.8 + 20),
    ],
    ids=["itself", "larger", "mirrored", "paler"],
)
def test_a_copy_is_found_and_called_one(made, altered):
    best, other, *_ = found(made, altered(picture(7)))
    assert best.file == "07.png" and best.source.name == os.path.join("deep", "07.png") and best.copy is True and best.likeness > 0.97
    assert other.copy is False


def test_the_mirror_image_is_said_to_be_one(made):
    assert found(made, picture(7).transpose(Image.Transpose.FLIP_LEFT_RIGHT))[0].mirrored and not found(made, picture(7))[0].mirrored
    assert "07.png, likeness 1.00, mirrored: a copy" in found(made, picture(7).transpose(Image.Transpose.FLIP_LEFT_RIGHT))[0].describe()


def test_other_pictures_are_no_copies(made):
    wrong = [found(made, picture(1000 + seed))[0].copy for seed in range(200)]
    assert sum(wrong) <= 8  # one in a hundred is what the threshold is set for


def test_a_picture_of_one_colour_is_like_nothing(made):
    assert found(made, Image.new("RGB", (64, 64), "teal")) == []


def test_duplicates_in_the_index_do_not_raise_its_threshold(tmp_path, pictures, made):
    for seed in range(8):
        picture(seed).save(pictures / f"again-{seed}.jpg", quality=80)
    before = store.read(made).limit
    after = building.build(made, [], PIXELS).about.limit
    assert abs(before - after) < 0.1 and found(made, picture(3))[0].copy is True


def test_few_pictures_and_pictures_all_alike_have_no_threshold(tmp_path):
    rows = describing.unit(np.random.default_rng(0).normal(size=(100, 64)))
    assert threshold.calibrate(rows[:20]) == (None, "20 pictures are too few to tell, 50 are wanted")
    alike = describing.unit(rows * 0.01 + rows[:1])
    assert "too much alike" in threshold.calibrate(alike)[1] and threshold.calibrate(rows)[0] is not None


def shapes(seeds: range) -> np.ndarray:
    return np.stack([opening.square(picture(seed), PIXELS.side) for seed in seeds])


@pytest.mark.parametrize("count", [8, 12, 30, 100])
def test_a_small_set_has_a_threshold_that_unrelated_pictures_stay_below(count):
    others, wrong = PIXELS.rows(shapes(range(5000, 5200))), []
    for start in range(0, 1000, 200):
        some = shapes(range(start, start + count))
        rows, mirrored = PIXELS.rows(some), PIXELS.rows(some[:, :, ::-1])
        limit, why = threshold.of_few(rows, mirrored)
        assert why == "" and 0.2 < limit < 0.9
        wrong.append((np.maximum(others @ rows.T, others @ mirrored.T).max(1) > limit).mean())
        paler = PIXELS.rows(np.clip(some.astype(float) * 0.8 + 20, 0, 255).astype(np.uint8))
        assert ((paler * rows).sum(1) > limit).all()
    assert np.mean(wrong) < 0.03


def test_a_small_set_that_tells_nothing_has_no_threshold():
    rows = describing.unit(np.random.default_rng(0).normal(size=(12, 64)))
    assert threshold.of_few(rows[:7], rows[:7]) == (None, "7 pictures are too few to tell, 8 are wanted")
    alike = describing.unit(rows * 0.01 + rows[:1])
    assert "too much alike" in threshold.of_few(alike, alike)[1]
    # A picture that is there twice changes little.
    twice = np.concatenate([rows, rows[:1]])
    assert abs(threshold.of_few(twice, twice[::-1])[0] - threshold.of_few(rows, rows[::-1])[0]) < 0.1


# -- files that people have --------------------------------------------------------------------------------------------------------------


def test_modes_sizes_turns_and_broken_files(tmp_path, capsys):
    top = tmp_path / "mixed"
    top.mkdir()
    one = picture(1, (120, 80))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: the camera was turned
    one.transpose(Image.Transpose.ROTATE_90).save(top / "turned.jpg", exif=exif, quality=95)
    for mode in ("L", "LA", "P", "RGBA", "1"):
        one.convert(mode).save(top / f"{mode}.png")
    one.convert("CMYK").save(top / "cmyk.jpg", quality=95)
    Image.fromarray(np.asarray(one.convert("L")).astype(np.uint16) * 257).save(top / "sixteen.png")
    one.save(top / "a.webp")
    one.save(top / "b.tif")
    one.save(top / "c.gif")
    (top / "cut.png").write_bytes((top / "RGBA.png").read_bytes()[:200])
    (top / "none.jpg").write_bytes(b"no picture")
    (top / "empty.png").write_bytes(b"")
    Image.new("RGB", (50, 50), "red").save(top / "plain.png")
    (top / "note.txt").write_text("a cat")
    built = building.build(tmp_path / "index", [top], PIXELS)
    assert (built.about.rows, built.about.problems, built.new) == (11, 4, 15)
    near = {each.file: each.likeness for each in found(tmp_path / "index", one, count=20)}
    assert all(near[name] > 0.98 for name in ("turned.jpg", "RGBA.png", "P.png", "cmyk.jpg", "a.webp", "b.tif", "c.gif"))
    assert near["sixteen.png"] == pytest.approx(near["L.png"], abs=0.02)
    reasons = {one.name: one.problem for one in store.sources(store.part(tmp_path / "index", built.about, "files")) if one.problem}
    assert set(reasons) == {"cut.png", "none.jpg", "empty.png", "plain.png"} and reasons["plain.png"] == "nothing in it"
    # They are not tried again before they change.
    assert building.build(tmp_path / "index", [top], PIXELS).new == 0
    one.save(top / "none.jpg")
    again = building.build(tmp_path / "index", [top], PIXELS)
    assert (again.about.rows, again.about.problems, again.new) == (12, 3, 1)


def test_too_many_pixels_are_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MOST_PIXELS", 1000)
    picture(1).save(tmp_path / "large.png")
    with pytest.raises(opening.Unreadable, match="96x96 pixels are too many"):
        opening.whole(tmp_path / "large.png")


def test_links_in_circles_and_names_in_no_encoding(tmp_path, pictures):
    (pictures / "deep" / "up").symlink_to(pictures)
    name = os.fsdecode(b"\xff\xfe.png")
    try:
        picture(60).save(pictures / name)
    except OSError:
        pytest.skip("this file system wants UTF-8")
    built = building.build(tmp_path / "index", [pictures], PIXELS)
    assert built.about.rows == 51 and found(tmp_path / "index", picture(60))[0].file == name


def test_what_is_not_admitted_is_not_looked_into(tmp_path, pictures):
    built = building.build(tmp_path / "index", [pictures], PIXELS, admits=lambda path: "deep" not in path)
    assert built.about.rows == 25


# -- kept up to date ---------------------------------------------------------------------------------------------------------------------


def test_changed_new_and_removed_files(tmp_path, pictures, made):
    assert building.build(made, [], PIXELS) == building.Built(store.read(made), 0, 0)
    picture(200).save(pictures / "00.png")
    os.utime(pictures / "00.png", (1, 1))
    picture(201).save(pictures / "new.png")
    (pictures / "deep" / "01.png").unlink()
    generation = store.read(made).generation
    described = []
    counting = describing.Describer(PIXELS.kind, PIXELS.side, lambda squares: described.append(len(squares)) or PIXELS.rows(squares), PIXELS.name)
    built = building.build(made, [], counting)
    assert (built.new, built.gone, built.about.rows) == (2, 1, 50) and sum(described) == 2 + 1  # and the print
    assert found(made, picture(200))[0].file == "00.png" and found(made, picture(0))[0].likeness < 0.9
    assert found(made, picture(1))[0].likeness < 0.9 and found(made, picture(2))[0].file == "02.png"
    assert built.about.generation != generation and not list(made.glob(f"*{generation}"))


def test_another_folder_takes_the_place(tmp_path, pictures, made):
    other = tmp_path / "other"
    other.mkdir()
    picture(300).save(other / "x.png")
    built = building.build(made, [pictures, other], PIXELS)
    assert (built.new, built.about.rows, len(built.about.tops)) == (1, 51, 2)
    assert building.build(made, [other], PIXELS).about.rows == 1 and names(made) == ["x.png"]


@pytest.mark.parametrize("gone", ["folder", "pictures"])
def test_a_drive_that_is_gone_empties_no_index(pictures, made, gone):
    for path in sorted(pictures.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    if gone == "folder":
        pictures.rmdir()
    with pytest.raises(ValueError, match="no folder" if gone == "folder" else "holds no picture"):
        building.build(made, [], PIXELS)
    assert store.read(made).rows == 50


class Stopped(Exception):
    pass


def stopping(after: int):
    def tick(done, total, note):
        if note == "pictures" and done >= after:
            raise Stopped

    return tick


def test_broken_off_it_serves_what_it_has_and_goes_on(tmp_path, pictures):
    folder = tmp_path / "index"
    with pytest.raises(Stopped):
        building.build(folder, [pictures], PIXELS, tick=stopping(20), batch=10)
    about = store.read(folder)
    assert about.rows == 20 and not about.complete and "not complete" in about.describe()
    built = building.build(folder, [pictures], PIXELS)
    assert built.new == 30 and built.about.rows == 50 and built.about.complete


def test_killed_it_loses_nothing_that_was_written(tmp_path, pictures, monkeypatch):
    folder = tmp_path / "index"
    with monkeypatch.context() as patch:
        patch.setattr(building._Building, "_publish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            building.build(folder, [pictures], PIXELS, tick=stopping(30), batch=10)
    # The last line and the last row are torn.
    for name, less in ((store.JOURNAL_FILES, 7), (store.JOURNAL_ROWS, 3)):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-less])
    built = building.build(folder, [pictures], PIXELS)
    assert built.new == 21 and built.about.rows == 50
    assert [found(folder, picture(seed))[0].file for seed in range(50)] == [f"{seed:02}.png" for seed in range(50)]


# -- readers, writers, damage ------------------------------------------------------------------------------------------------------------


def test_a_reader_goes_on_while_a_writer_replaces(pictures, made):
    with Index(made) as reader:
        for seed in range(10):
            (pictures / f"{2 * seed:02}.png").unlink()
        building.build(made, [], PIXELS)
        views = describing.asked([opening.square(picture(4), PIXELS.side)], PIXELS)[0]
        assert reader.search(views)[0].source.name == "04.png"
    with Index(made) as reader:
        assert reader.search(views)[0].source.name != "04.png"


def test_one_writer_at_a_time(pictures, made):
    with store.locked(made), pytest.raises(ValueError, match="another program"):
        building.build(made, [], PIXELS)


def test_other_weights_are_told(made, pictures):
    other = describing.Describer(PIXELS.kind, PIXELS.side, lambda squares: PIXELS.rows(255 - squares[:, :, ::-1]), "another")
    with pytest.raises(ValueError, match="was made with pixels, not with another"):
        building.build(made, [], other)
    with pytest.raises(ValidationError, match="describes pictures in another way"):
        found(made, picture(1), other)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "index.json").write_text("{"),
        lambda folder: (folder / "index.json").write_text(json.dumps({"format": "x"})),
        lambda folder: (folder / "index.json").write_text((folder / "index.json").read_text().replace('"version": 1', '"version": 2')),
        lambda folder: (folder / "index.json").write_text((folder / "index.json").read_text().replace('"generation": "', '"generation": "../')),
        lambda folder: next(folder.glob("rows-*")).write_bytes(b"short"),
        lambda folder: next(folder.glob("coarse-*")).unlink(),
        lambda folder: (folder / "index.json").unlink(),
    ],
)
def test_damage_is_said_in_one_line(made, damage):
    damage(made)
    with pytest.raises(ValidationError, match=r"^index") as error:
        Index(made)
    assert "\n" not in str(error.value)


# -- the glance --------------------------------------------------------------------------------------------------------------------------


def test_the_glance_loses_no_near_picture():
    draw = np.random.default_rng(1)
    rows = describing.unit(draw.normal(size=(20_000, 256)) * (1 + np.arange(256)) ** -0.7)
    basis = search.directions(rows.astype(np.float16))
    coarse = np.concatenate(list(search.projected(rows.astype(np.float16), basis)))
    assert len(search.candidates(coarse, rows[:1] @ basis.T)) == search.CANDIDATES
    for row in range(0, 20_000, 400):
        asked = describing.unit(rows[row : row + 1] + 0.6 * describing.unit(draw.normal(size=(1, 256))))
        assert row in search.candidates(coarse, asked @ basis.T)


@pytest.mark.parametrize("size", [256, 1024])
def test_the_glance_finds_what_comparing_everything_finds(tmp_path, size):
    """Of pictures that are near enough for a copy none is lost, and hardly ever the nearest of those that are not; by a comparison with all rows."""
    draw = np.random.default_rng(4)
    count, weights = 40_000, ((1 + np.arange(size)) ** -0.5).astype(np.float32)
    rows = describing.unit(draw.standard_normal((count, size), np.float32) * weights)
    about = store.About("pixels", 16, tuple(rows[0].tolist()), "made up", (str(tmp_path),), "made", rows=count, complete=True)
    store.part(tmp_path, about, "rows").write_bytes(rows.astype(np.float16).tobytes())
    lines = [store.Source(str(tmp_path), f"{number}.jpg", 0, 0).line() for number in range(count)]
    store.part(tmp_path, about, "files").write_bytes(b"".join(lines))
    store.publish(tmp_path, building.finish(tmp_path, about, np.cumsum([0, *map(len, lines[:-1])]).tolist()))
    same, nearest, limit = [], [], store.read(tmp_path).limit
    with search.Index(tmp_path) as index:
        for number in range(0, count, count // 60):
            noise = (0.3 + 1.5 * draw.random()) * describing.unit(draw.standard_normal((1, size)).astype(np.float32) * weights)
            one = describing.unit(rows[number : number + 1] + noise)[0]
            exact = np.maximum(rows @ one, rows @ -one)
            found = index.nearest(np.stack([one, -one]), 5)
            copies = set(np.flatnonzero(exact > limit).tolist())
            same.append(copies <= {row for row, _, _ in found})
            nearest.append(found[0][0] == int(exact.argmax()))
    assert all(same) and np.mean(nearest) > 0.9


def test_latents_of_any_size_make_rows():
    for shape in ((2, 4, 32, 32), (1, 16, 32, 32), (3, 4, 5, 7)):
        rows = describing.of_latents(np.random.default_rng(0).normal(size=shape))
        assert len(rows) == shape[0] and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert not describing.of_latents(np.full((1, 4, 8, 8), np.nan)).any()
