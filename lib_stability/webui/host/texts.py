"""What people read in the page, in one place: the keys of ``localizations/*.json``.

A text with places for values, as ``{runs}``, is translated by :func:`.language.say`, all others also by the host. None holds a pictograph: the hosts
leave texts with one untranslated.
"""

from __future__ import annotations

from ... import sentences, validation
from ...guard import locality, outcome, sensitivity, verdict
from ...match import building, finding, store
from ...profile import calibration, displacing, networks, own_profiles, own_prompts, profiles
from ...trail import audit_page, image_row, ledger_loss, scan_report, shares_report

# -- of the rooms that know of no page ----------------------------------------------------------------------------------------------------

#: What they say in :class:`...sentences.Sentence`, and where they are handed the page's words.
SAID = (
    *(sensitivity.TEXTS, profiles.STANDINGS, profiles.TEXTS, networks.TEXTS, displacing.TEXTS, calibration.CAUTION),
    *(own_prompts.TEXTS, own_profiles.TEXTS, validation.TEXTS, sentences.AND),
    *(scan_report.TEXTS, scan_report.HEADS, shares_report.TEXTS, audit_page.TEXTS, audit_page.PARTS_UNSEEN, audit_page.CHANGED, scan_report.LEVELS),
    *(store.TEXTS, building.TEXTS, finding.OTHERS, ledger_loss.TEXTS),
)
# -- the verdict under a picture ----------------------------------------------------------------------------------------------------------

VERDICTS = {
    "stable": "Stable: nothing in this picture looks memorized.",
    "mild": "Mild: this picture may reproduce a training picture.",
    "strong": "Strong: this picture very probably reproduces a training picture.",
    "not judged": "Not judged.",
}
#: Flagged pictures that the guard has changed, by :func:`.panel.kind`; another outcome needs a line here and a badge.
ENDED = {
    "steered": "Steered away: it would have reproduced a training picture; the finished picture no longer looks like one.",
    "damped": "Damped: it would have reproduced a training picture. Whether the finished picture still does could not be told: look at it yourself.",
    "blanked": "Blanked: it was about to reproduce a training picture, so it was not finished.",
    "again": "Sampled again: it would have reproduced a training picture and was made once more, steered away from the start.",
    "copy": "Still near a copy: it was damped, but the finished picture still looks like the one that it would have reproduced.",
}
NO_LONGER = "The finished picture no longer looks like one."
UNTOLD = "Whether the finished picture still does could not be told: look at it yourself."
REPLACED = "Replaced: the picture of seed {seed} looked memorized, this one stands in its place."
NOT_REPLACED = "Not replaced: {reason}."
#: What the host's progress says meanwhile.
SAMPLING_AGAIN = "Sampling a flagged image again"
SAMPLING_ANEW = "Sampling a flagged image with another seed, try {number} of {of}"
#: On thumbnails of 30 pixels: as short as can be.
BADGES = {
    "stable": "stable",
    "mild": "mild",
    "strong": "strong",
    "not judged": "not judged",
    "steered": "steered",
    "damped": "damped",
    "blanked": "blanked",
    "again": "sampled again",
    "copy": "near a copy",
    "replaced": "replaced",
    "partly": "in part",
}
WHY = "Not judged: {reason}."
BESIDE = "Not everything could be looked at: {reason}."
HIRES = "Hires pass: "
INNER = "What another tool sampled to finish it: "
UNWATCHED = "This rests on a few looks alone and is worth less: {reason}."
PARTLY_WATCHED = "Only {done} of {of} steps could be judged in full: {reason}."
REGIONS = "Another extension gives regions of the picture prompts of their own: those were not looked at one by one, so that a copy may be missed."
UNUSUAL = "How unusual: {times}\u00a0× what the most unusual of 1,000 ordinary images shows."
UNUSUAL_GUESS = (
    "How unusual: about {times}\u00a0× what the most unusual of 1,000 ordinary images should show; a guess, nobody has measured this checkpoint."
)
BEFORE_AFTER = (
    "How unusual: {before}\u00a0× before it was steered, {after}\u00a0× at the end "
    "(1\u00a0× is what the most unusual of 1,000 ordinary images shows)."
)
BEFORE = "How unusual before it was damped: {before}\u00a0× what the most unusual of 1,000 ordinary images shows."
ADVICE_UNGUIDED = "Set the second look to Auto, or the CFG scale to 2 or more where the model takes it."
ADVICE_UNFIT = "Choose another sampler, Euler or DPM++ 2M for instance."
DETAILS = "Details"
#: What judged, behind "by the".
DETECTORS = {"watch": "watch", "probe": "second look", "parts": "look at each part of the prompt"}
SCORE = "Score {score}; flagged from {threshold} on; by the {detector}"
SCORE_ALONE = "Score {score}; by the {detector}"
SCORE_BEFORE = "Score {score} before it was damped, {after} at the end; by the {detector}"
FLAGGED_AT = "First flagged at step {at} of {of}"
EARLY = "It was seen early enough to be steered away: Damp does that."
LATE = "It was seen only when its picture was decided, too late to be steered: with Damp it is sampled again."
DAMPED_IN = "Damped in {count} of {of} steps"
CARRIED = "Carried by these words: {words}"
BLANKED_AT = "Blanked from step {at} on"
JUDGE = "Judged by {name}"
SENTENCE = "{said}."
WORDS = "What these words mean"
TRAJECTORY = "Step by step"
TRAJECTORY_HIRES = "Step by step, hires pass"
PART = "Which part"
PART_HIRES = "Which part, hires pass"
WITH_NETWORKS = "Calibrate with these networks"
#: In the two drawings under it, :mod:`...pictures.chart` and :mod:`...pictures.overlay`: the run step by step, and the map.
DRAWN = (
    *("update norm (rate)", "norm of the prediction (clean)", "sigma"),
    *("band: ordinary runs up to the threshold", "their mean", "this image", "unstable", "damped"),
    *("scores of the probe:", "nothing was judged"),
)
MAPPED = (
    *("how large the prediction is, part by part", "ordinary", "{times} times and more"),
    *("line: {times} times an ordinary norm", "the map alone: its picture is not at hand"),
)
#: In the plot of a profile, :mod:`...pictures.figures`.
PLOTTED = (
    *("update norm per radian of noise angle, RMS(v)", "clean prediction, RMS(D)"),
    *("region, ±{spreads} spreads", "sigma (sampling runs to the right)"),
)
WHERE = (locality.NOWHERE, locality.SOMEWHERE, *locality.PLACES.values())
NOTHING_TO_EXPLAIN = "Nothing is shown that has a prompt."

# -- the line about what judges -----------------------------------------------------------------------------------------------------------

OWN = "Judged by: your calibration of {date} ({runs} images)."
BUNDLED = "Judged by: the calibration {name}, which comes with the extension ({runs} images)."
IMPORTED = "Judged by: the imported calibration {name} of {date} ({runs} images)."
TRIAL = "Judged by: a trial, {name} ({runs} images). That is too few to rely on."
PRIOR = "Judged by: a guess ({name}). Nothing was measured on this checkpoint: it may miss copies, and flag ordinary images."
SHARE = "About 1 in {count} ordinary images is flagged."
SHARE_GUESS = "It is meant to flag about 1 in {count} ordinary images; nobody has counted."
SHARE_RARE = "Fewer than 1 in {count} ordinary images is flagged."
SHARE_MOST = "Most ordinary images are flagged."
IGNORED = "It does not know the networks that are on: {networks}."
NOTHING = "Nothing here can judge this checkpoint: {reason}. Images will say: not judged."
NOT_LOADED = "No checkpoint is loaded yet: what judges it is said after the first generation."
REFUSED = "Refused: {reason}"
TERMS = "Profile {name} ({standing}; {reason}): {limits}"
OFFER = "A calibration measures it, in the background: about {minutes} min for {runs} images of {size} here."
OFFER_HOURS = "A calibration measures it, in the background: about {hours} h for {runs} images of {size} here."
OFFER_LATER = "A calibration measures it, in the background ({runs} images). How long that takes here is said after the first generation."
NOW, WHEN_IDLE, CHOOSE, GO_BACK = "Calibrate now", "Calibrate when idle (tonight)", "More choices", "Go back"
#: Why a profile serves, or none does; and profiles with whose they are, and networks that they were made with or do not know.
SERVED = {
    "unknown": "the checkpoint's prediction type is unknown",
    "missing": "no profile is called {name}",
    "other": "the profile {name} is for {wanted}, the checkpoint has {found}",
    "chosen": "chosen by name",
    "with": "the profile {name} is for this checkpoint with {networks}",
}
LABELS = {
    (True, True): "{name} ({standing} with {networks}) which does not know {ignored}",
    (False, True): "{name} ({standing}) which does not know {ignored}",
    (True, False): "{name} ({standing} with {networks})",
    (False, False): "{name} ({standing})",
}
DATE = "{day} {month} {year}"
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")

# -- what cannot be done, and why ---------------------------------------------------------------------------------------------------------

ROLES = {
    "not yours": (
        "This web UI is open to others: only its administrator calibrates, imports and deletes. Name them in {variable} where the web UI is started, "
        "or use the shell: {command}. {file} says more."
    ),
    "elsewhere": "A page of another site asks for this; only the web UI's own page and origins named in {option} may.",
}
OPTIONS = {
    "switch": "has to be true or false",
    "multiple": "has to be a multiple of 8",
    "list": "has to be a list of at most {most} texts",
    "empty": "holds no text",
    "uploaded": "that file was not uploaded",
}
NETWORKS_ON = {
    "no tag": "networks: {tag} is not the tag of a network, such as <lora:name:0.8>",
    "kind": "networks: the web UI has no networks of the kind {tag} that can be told apart",
    "none": "networks: the web UI finds no network called {name} for {tag}",
    "foreign": (
        "networks: {part} in {tag} is not the web UI's own to apply; the extension that does takes no part here, "
        "so that what such tags make cannot be judged"
    ),
    "missing": "the web UI has not applied {networks}",
    "one": "{networks} is on and was not asked for",
    "many": "{networks} are on and were not asked for",
}
FOLDERS = {
    "none": "folder: {folder} is no folder",
    "name": "folder: has to be the name of a folder",
    "up": "folder: '..' is not allowed in it",
    "closed": "folder: only this web UI's output folders, and what --gradio-allowed-path names, may be looked into",
    "nothing": "folder: this web UI has no output folder that exists and is open; --gradio-allowed-path opens one",
    "no longer": "folder: what this index was made of may no longer be looked into; --gradio-allowed-path opens folders",
}
CALIBRATIONS = {
    "folder": "profiles cannot be written to {folder}: {reason}; choose another folder in Settings, Memorization Guard",
    "negative": "negative_prompt: guidance is distilled into this checkpoint, which is told none at CFG 1; leave it empty",
    "prompts": "prompts: nothing is left of them without extra networks",
    "numbers": "{count} of {of} runs gave numbers that are not finite; half precision may be too little here",
    "kept": "the profile could not be written to {folder} ({reason}); it is kept as {file}, import it",
    "hash": "the checkpoint has no SHA-256, so no profile could be told to be its own",
    "refused": "refused: {reason}",
    "sampler": "the sampler {name} is not made for flow models here; choose another one, Euler for instance",
    "scheduler": "the scheduler {name} gives the noise level {levels}, flow models have those above 0 and up to 1",
}
SCANS = {
    "none": "no profile to scan with: {reason}; calibrate this checkpoint first",
    "none with": "no profile to scan with: {reason}; calibrate this checkpoint first with these networks: {networks}",
    "no probe": "the profile {name} has no probe region",
    "judged by": "judged by {label}",
}
INDEXES = {
    "none": "index: there is none of this name",
    "yet": "index: there is none yet; make one in the tab, under Training pictures",
    "picture": "is no picture that can be read ({reason})",
    "detector": "by: no copy detector is there; put its TorchScript file, {files}, into {folder}",
    "another": "another checkpoint or autoencoder was loaded meanwhile; load the first one again and go on",
}

# -- the accordion ------------------------------------------------------------------------------------------------------------------------

#: Label and one-line help of each control.
CONTROLS = {
    "mode": (
        "When an image is flagged",
        "Report only says so. Damp steers it away while it is made. Replace makes another one, with another seed. Stop leaves a clear copy blank. "
        "Images that are not flagged stay as they are.",
    ),
    "sensitivity": ("Sensitivity", "How many ordinary images may be flagged by mistake: Low 1 in 500, Medium 1 in 100, High 1 in 20"),
    "tau": ("Threshold of Custom", "Lower flags more. It starts from the level that you come from."),
    "profile": ("Profile", "What ordinary images of your checkpoint look like. Auto takes the best that there is."),
    "damping": (
        "Damping",
        "Reword leaves out the words that carry the copy: best, but a flagged image takes about twice as long. "
        "Directional takes no longer and costs more of the picture; Radial, the paper's, usually leaves the copy.",
    ),
    "strength": ("Strength of directional damping", "Higher steers further away and costs more of the picture"),
    "probe": (
        "Second look",
        "Also compares with an empty prompt. Auto does so where a negative prompt or a low CFG scale leaves the guard blind otherwise.",
    ),
    "probe_evaluations": ("How often the second look is taken", "1: at the start; 2: at the start and the end; 3: once more in between"),
    "again": ("Sample again", "With Damp: an image that was flagged too late to steer, or is a copy all the same, is made once more, twice at most"),
    "tries": ("Tries of Replace", "How many other seeds at most. The last picture is kept whatever it is, and damped if it is flagged."),
}
ADVANCED = "Advanced"

# -- the tab ------------------------------------------------------------------------------------------------------------------------------

SECTIONS = {
    "profiles": "Profiles",
    "calibrate": "Calibrate",
    "scan": "Scan captions",
    "audit": "Audit pictures",
    "match": "Training pictures",
    "glossary": "Glossary",
}
ALL_PROFILES = "All {count} profiles"
YES, NO = "yes", "no"
HEADS = ("Name", "Kind", "Family", "Prediction", "Second look", "Medium")
PLOT = "{name}, CFG scale {scale}, {level}"
PROFILE, SHAPE = "Profile", "Ordinary images (the band) from noise to picture"
EXPORT, DELETE, DELETE_REALLY, KEEP = "Export", "Delete…", "Delete it for good", "Keep it"
LEFT = "Left as it is."
KEPT = "Kept."
CHOOSE_FIRST = "Choose a profile first."
MADE_FOR = "{name}: {evidence}. Made for {model}."
LEVEL = {
    "measured": "{level}: flags from {threshold} on, {share} % of ordinary images, as measured",
    "extrapolated": "{level}: flags from {threshold} on, about {share} % of ordinary images, extrapolated",
    "supposed": "{level}: flags from {threshold} on, {share} % of ordinary images, if they are as supposed",
}
FACTS = {"prompts": "prompts", "samplers": "samplers", "steps": "steps", "size": "size", "guidance": "CFG scale", "source": "source"}
IS_TRIAL = "A trial: it serves only where the setting Profile names it."
DOWNLOADABLE, IMPORTED_NOW, DELETED = "{name} is ready to be downloaded.", "{name} imported.", "{name} deleted."
FILE_FIRST = "Choose a profile's JSON file first."
BUNDLED_STAYS = "{name} comes with the extension and cannot be deleted."
DELETE_ASKED = "Delete {name} and its older versions for good? Export it first if you may want it back."
BACK = "{name} is the version before again ({evidence}). Go back once more undoes that."
EXPORTED, UPLOAD, IMPORT, IMPORT_REALLY, LEAVE = "Exported profile", "A profile's JSON file", "Import", "Import it", "Leave it"
BRING = "Import a profile"
CALIBRATE_HELP = (
    "Measures what ordinary images of the loaded checkpoint look like. It saves no picture, works in the background and may be cancelled; "
    "you can go on generating."
)
RUNS = ("Images", "200 for keeps; fewer than 100 make a trial, which serves only where it is chosen")
STEPS = ("Steps", "As you usually take; it matters little")
BATCH = ("Batch size", "As many at once as fit into memory; halved where they do not")
WIDTH = ("Width", "0: as the model was trained")
HEIGHT = ("Height", "0: as the model was trained")
SAMPLER = ("Sampler", "Several in turn serve every sampler; choose one if you use no other")
NEGATIVE = ("Negative prompt", "The one that you always use; empty for generations without one")
NETWORKS = ("LoRA and other networks", "On in every image, written as in a prompt: <lora:name:0.8>")
PROMPTS = ("Ordinary prompts of your own", "One a line; empty for the ones that come with the extension")
CALIBRATE, CANCEL, ALL_THE_SAME, FROM_PROMPT = "Calibrate", "Cancel", "Calibrate it all the same", "From the prompt"
CALIBRATED = "Profile {name} of {runs} images. Flags from these scores on, with the share of its own images above them: {levels}."
LEFT_OUT = "Left out, they look like copies: {prompts}."
IDLE_HELP = "When idle: begins after {minutes} minutes without a generation, steps back while you generate, and lasts until the web UI is closed."
IDLE_NOTE = "{kind}: waits until the web UI has been idle for {minutes} minutes ({done} of {total} {unit} done)"
SCAN_HELP = "Which prompts or captions hand out a training picture? Ranks them at a fifth of the time of generating; nothing is saved."
CAPTIONS = ("Captions", "One a line")
SEEDS = ("Seeds per caption", "More are surer and take longer")
SCAN_NETWORKS = ("LoRA and other networks", "On for all captions, written as in a prompt; tags in a caption count for it")
ARE_PROMPTS = "They are prompts: brackets weigh words"
SCAN = "Scan"
AUDIT_HELP = "Reads the verdicts back from saved pictures. Nothing is changed."
FOLDER = ("Folder", "Of the web UI's own output folders")
SUBFOLDER = ("Or a folder within them", "Its path")
SHOW, FILTER_HELP = "Show", "Which verdicts"
AUDIT, PREVIOUS, NEXT, CSV, CSV_FILE = "Audit", "Previous page", "Next page", "Download as CSV", "Rows as CSV"
MORE = "More choices"
NOTHING_RUNS = "Nothing is running."
ROWS_DOWNLOADABLE = "{count} rows are ready to be downloaded."
AUDIT_GONE, AUDIT_FIRST = "This audit is no longer kept: start it again.", "Audit a folder first."
LEDGER = "Ledger: {missed}"
KINDS = {"calibration": "Calibration", "scan": "Scan", "audit": "Audit", "explanation": "Explanation", "generation": "Generation", "index": "Index"}
STATES = {
    "done": "{kind} done",
    "failed": "{kind} failed: {reason}",
    "cancelled": "{kind} cancelled: {reason}",
    "cancelled on request": "{kind} cancelled",
    "running": "{kind}: {done} of {total} {unit}",
}
UNITS = {"calibration": "images", "scan": "looks", "audit": "files", "explanation": "looks", "generation": "images", "index": "files"}
CANCELLED, INTERRUPTED = "cancelled", "interrupted in the web UI"
#: While one task runs no other of its lane is begun.
BUSY = {
    "calibration": "a calibration is running; wait for it or cancel it",
    "scan": "a scan is running; wait for it or cancel it",
    "audit": "an audit is running; wait for it or cancel it",
    "explanation": "an explanation is running; wait for it or cancel it",
    "generation": "a generation is running; wait for it or cancel it",
    "index": "an index is running; wait for it or cancel it",
    "task": "a task is running; wait for it or cancel it",
}
LEFT_SECONDS = "about {count} s left"
LEFT_MINUTES = "about {count} min left"

MATCH_HELP = (
    "An index knows the pictures of a folder by the loaded checkpoint's autoencoder. It tells which of them a picture is nearest to, and whether "
    "that is a copy. The folder has to be among those that may be looked into: Settings, Memorization Guard."
)
INDEX_NAME = ("Name of the index", "A new one, or one to bring up to date")
INDEX_FOLDER = ("Folder", "None: the index's own")
INDEX_PATH = ("Or the path of a folder within them", "Its path")
DESCRIBED = ("Described", "By what pictures are compared")
BY = {"vae": "By the loaded checkpoint", "sscd": "By SSCD, if its file is there"}
NO_INDEX = "There is no index yet."
INDEXED, INDEX_DELETED = "{new} new or changed, {gone} gone: {said}.", "The index {name} is deleted; its pictures are where they were."
PICTURE_FIRST = "Drop a picture first."
#: Of the nearest pictures: whether the first is a copy, and what stands at each.
BEST = {
    True: "This is a copy of a training picture (index {index}).",
    False: "No training picture is near enough for a copy (index {index}).",
    None: "The nearest training pictures; whether it is a copy nobody can tell: the index {index} has no threshold.",
}
ONE_COLOUR = "There is one colour all over, or no picture to compare with."
ONLY_ADMINISTRATOR, UNNAMED, NO_PREVIEW = "Which one only this web UI's administrator sees.", "a training picture", "no preview"
COPY, NO_COPY, LIKENESS, MIRRORED = "copy", "no copy", "likeness {likeness}", "likeness {likeness}, mirrored"
INDEX, INDEX_DELETE = "Make or bring up to date", "Delete the index"
ASKED = ("Index", "None: the first that fits")
LOOK_UP, NEAREST = "A picture to look up", "Find the nearest"
WHICH_WORDS, WHICH_PICTURE = "Which words?", "Which training picture?"

# -- Settings -----------------------------------------------------------------------------------------------------------------------------

SETTINGS = {
    "enabled": "Guard every generation unless its accordion is unticked",
    "mode": "What to do with a flagged image",
    "sensitivity": "Sensitivity: how many ordinary images may be flagged by mistake",
    "tau": "Threshold of the sensitivity Custom: lower flags more",
    "damping": "How a flagged image is damped",
    "strength": "Strength of directional damping",
    "profile": "Profile",
    "probe": "Second look: compare with an empty prompt as well",
    "probe_evaluations": "How often the second look is taken",
    "again": "Sample an image once more where damping came too late or failed",
    "tries": "How many other seeds the mode Replace tries at most",
    "no_profile": "A checkpoint that was never calibrated",
    "networks": "LoRA and other networks that no profile was calibrated with",
    "infotext": "What to write into an image's infotext",
    "audit_folders": "Further folders that the tab may audit, one a line; ignored where the web UI is open to others",
    "map": "Show which part of a flagged image looks memorized",
    "save_map": "Save that map beside the picture, as <picture>-mg-map.png",
    "match": "Write the nearest training picture of a flagged image into its infotext: its file's name, and how alike they are",
    "match_index": "Index of training pictures that is asked; empty: the first that fits the checkpoint",
    "ledger": "Keep a ledger of all verdicts: one file a day",
    "folder": "Folder for your profiles and the ledger; empty for the extension's own; ignored where the web UI is open to others",
}

#: Choices of the page and of the Settings, which hold no number and are translated by the host alone.
CHOICES = (
    *("Report", "Damp", "Replace", "Stop", "Low", "Medium", "High", "Paper", "Custom", "Reword", "Directional", "Radial", "Auto", "Always", "Never"),
    *("Judge by a general prior", "Do not judge", "Judge by the checkpoint's own profile, and say so"),
    *("Verdict only", "Verdict and numbers", "Verdict, numbers and profile"),
    *("Several in turn", "All output folders", "All", "Stable", "Mild", "Strong", "Not judged", "Without a verdict", "Broken"),
)
#: Why an image was not judged, or what its verdict lacks: as infotext, ledger and API say it, with places for values, and in plain words.
REASONS = {
    "{reason} - {judged}/{of} judged": "{reason}; {judged} of {of} steps were judged",
    verdict.NO_GUIDANCE: "the CFG scale is too low, and the second look is off",
    "guidance above the region": "the CFG scale is higher than what was measured",
    "ended before the last look": "it ended before the last look",
    "no profile": "nothing here knows this checkpoint",
    "inpainting mask too small": "the inpainting mask is too small",
    "guided by a picture too": "a picture guides it, too",
    "no probe and a negative prompt that the region does not know": "the second look is off, and nothing was measured with this negative prompt",
    "a negative prompt that the region does not know": "nothing was measured with this negative prompt",
    "no probe and a part of the prompt with negative weight": "the second look is off, and a part of the prompt has a negative weight",
    "a part of the prompt with negative weight": "a part of the prompt has a negative weight",
    "no probe and guidance changed by another extension": "the second look is off, and another extension changes guidance",
    "guidance changed by another extension": "another extension changes guidance",
    "damped without what another extension adds": "it was damped without what another extension adds",
    "flow model without guidance and no probe": "a flow model without CFG, and the second look is off",
    "sampler not made for flow models": "the sampler is not made for flow models",
    "networks that no profile knows ({networks})": "nothing was measured with these networks: {networks}",
    "nothing sampled": "nothing was sampled",
    "nothing judged": "nothing was judged",
    "numbers not finite": "the model gave numbers that are none",
    "noise level outside the region": "a noise level that nothing was measured at",
    "interrupted": "it was interrupted",
    "skipped": "it was skipped",
    "a grid of several jobs": "a grid of several jobs",
    "bad setting {setting}": "a setting makes no sense: {setting}",
    "error {kind} in the {part}": "an error ({kind}) in this part: {part}",
    "error {kind}": "an error ({kind})",
}
#: How a damped image ended, and what was replaced: likewise.
OUTCOMES = {
    **{one: one for one in outcome.OUTCOMES},
    "seed {seed} ({verdict}) - 1 try": "in the place of seed {seed} ({verdict}), at the first try",
    "seed {seed} ({verdict}) - {count} tries": "in the place of seed {seed} ({verdict}), after {count} tries",
    "no - {reason}": "no, {reason}",
    verdict.REGIONS: "regions of another extension were not looked at one by one",
    "{reason} and " + verdict.REGIONS: "{reason}, and regions of another extension were not looked at one by one",
}
#: What is wrong with a file of an audit.
PROBLEMS = {one: one for one in image_row.PROBLEMS} | {"{problem}; {more}": "{problem}; {more}"}


def everything() -> list[str]:
    """Every text, each once."""
    return list(dict.fromkeys(_within([value for name, value in sorted(globals().items()) if name.isupper()])))


def _within(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for one in (value.values() if isinstance(value, dict) else value) for text in _within(one)]
