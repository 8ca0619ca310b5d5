// Verdict line and badges: the page asks the server whenever it shows another result or another picture of it, and the server reads the infotexts.
// Controls: a page that is opened, or whose Settings change, asks for the defaults that are in force.
(function () {
    "use strict";

    /* global opts */
    const TABS = ["txt2img", "img2img"];
    // Milliseconds after which an answer is no longer waited for.
    const PATIENCE = 10000;
    // Of each tab: what is shown, the number of the last question and of the first about this result, and when it was asked.
    const shown = {};
    for (const tab of TABS) {
        shown[tab] = {info: "", index: 0, asked: 0, first: 0, when: 0};
    }

    function root() {
        return typeof gradioApp === "function" ? gradioApp() : document;
    }

    // One of the page's hidden buttons, by which the server is asked for something.
    function press(name) {
        root().querySelector(`#memorization_guard_${name}`)?.click();
    }

    // What the host keeps beside its gallery: the infotexts of a result.
    function information(tab) {
        const box = root().querySelector(`#generation_info_${tab} textarea, #generation_info_${tab} input`);
        return box ? box.value : "";
    }

    function thumbnails(tab, list) {
        return Array.from(root().querySelectorAll(`#${tab}_gallery ${list} .thumbnail-item`));
    }

    function answer(tab) {
        const told = root().querySelector(`#memorization_guard_verdict_${tab} .memorization-guard-answer`);
        if (!told) {
            return {number: 0, verdicts: [], words: {}};
        }
        return {number: Number(told.dataset.answer), verdicts: JSON.parse(told.dataset.verdicts), words: JSON.parse(told.dataset.words)};
    }

    function ask(tab, info, index) {
        const now = shown[tab];
        const button = root().querySelector(`#memorization_guard_ask_${tab}`);
        if (!button) {
            return;
        }
        now.asked += 1;
        if (info !== now.info) {
            now.first = now.asked;
            // The first generation tells what judges a checkpoint that was not loaded before, and how long a calibration takes.
            const line = `#memorization_guard_${tab}_line`;
            if (root().querySelector(`${line} .memorization-guard-offer, ${line} .memorization-guard-trust-nothing`)) {
                press(`${tab}_look`);
            }
        }
        now.info = info;
        now.index = index;
        now.when = Date.now();
        button.click();
    }

    window.memorizationGuardQuestion = function (tab) {
        const now = shown[tab];
        return [JSON.stringify({number: now.asked, info: now.info, index: now.index})];
    };

    // `verdicts` are what colours a badge, `words` what stands in it, in the page's language.
    function mark(tab, verdicts, words) {
        for (const list of [".thumbnails", ".grid-container"]) {
            thumbnails(tab, list).forEach((item, number) => {
                const verdict = verdicts[number] || "";
                if ((item.dataset.memorizationGuard || "") === verdict) {
                    return;
                }
                if (verdict) {
                    item.dataset.memorizationGuard = verdict;
                    item.dataset.memorizationGuardWord = words[verdict] || verdict;
                } else {
                    delete item.dataset.memorizationGuard;
                    delete item.dataset.memorizationGuardWord;
                }
            });
        }
    }

    function look(tab) {
        const now = shown[tab];
        const info = information(tab);
        const chosen = thumbnails(tab, ".thumbnails").findIndex((item) => item.classList.contains("selected"));
        // With none chosen the host shows the first picture's infotext, and goes on showing that of one that was.
        const index = chosen >= 0 ? chosen : info === now.info ? now.index : 0;
        const told = answer(tab);
        const waiting = told.number < now.asked && Date.now() - now.when < PATIENCE;
        if ((info !== now.info || index !== now.index) && !waiting) {
            ask(tab, info, index);
        }
        mark(tab, info === now.info && told.number >= now.first ? told.verdicts : [], told.words);
    }

    // Names of the settings that have changed, null for a page that was just opened.
    let changed = null;
    let settings = null;
    let opened = false;

    window.memorizationGuardChanged = function () {
        return [JSON.stringify(changed)];
    };

    function renew(names) {
        changed = names;
        for (const tab of TABS) {
            press(`${tab}_renew`);
        }
    }

    function settingsChanged() {
        const before = settings;
        const prefix = "memorization_guard_";
        settings = {};
        for (const name of Object.keys(opts)) {
            if (name.startsWith(prefix)) {
                settings[name.slice(prefix.length)] = opts[name];
            }
        }
        const names = Object.keys(settings).filter((name) => before && before[name] !== settings[name]);
        if (names.length) {
            renew(names);
        }
    }

    if (typeof onOptionsChanged === "function") {
        onOptionsChanged(settingsChanged);
    }

    // Of each tab, the latest level that is not Custom.
    const levels = {};

    function noteLevel(tab) {
        const chosen = root().querySelector(`#memorization_guard_${tab}_sensitivity input:checked`)?.value.toLowerCase();
        if (chosen && chosen !== "custom") {
            levels[tab] = chosen;
        }
    }

    // Of each tab, the level that "Custom" is to start from, once a person has chosen it.
    const starts = {};
    const settling = {};

    window.memorizationGuardLevel = (tab) => starts[tab] || "";

    function personChanges(event) {
        for (const tab of TABS) {
            const within = (name) => event.target.closest?.(`#memorization_guard_${tab}_${name}`);
            if (!within("sensitivity") && !within("tau")) {
                continue;
            }
            starts[tab] = "";
            if (within("sensitivity")) {
                noteLevel(tab);
                starts[tab] = levels[tab] || "";
            }
            clearTimeout(settling[tab]);
            settling[tab] = setTimeout(() => press(`${tab}_settle`), 200);
        }
    }

    document.addEventListener("change", personChanges, true);
    document.addEventListener("input", personChanges, true);

    // The tags of networks in a prompt.
    function tagsOf(text) {
        return (text.match(/<\w+:[^<>]+>/g) || []).join(" ");
    }

    function fillNetworks(tags) {
        const box = root().querySelector("#memorization_guard_tab_networks textarea, #memorization_guard_tab_networks input");
        if (box) {
            box.value = tags;
            box.dispatchEvent(new Event("input", {bubbles: true}));
        }
    }

    // The tab's button "From the prompt": that of txt2img, or of img2img where that has none.
    window.memorizationGuardNetworks = function () {
        const prompts = TABS.map((tab) => tagsOf(root().querySelector(`#${tab}_prompt textarea`)?.value || ""));
        return [prompts.find((tags) => tags) || ""];
    };

    const SECTIONS = ["profiles", "calibrate", "scan", "audit", "match", "glossary"];

    // Shows a section of the tab; the host translates its name, so it is known by its place.
    function open(section) {
        const names = Array.from(root().querySelectorAll("#tabs > .tab-nav button, #tabs > .tab-wrapper button"));
        names.find((one) => one.innerText.trim() === "Memorization Guard")?.click();
        const sections = root().querySelector("#memorization_guard_tab_sections");
        const buttons = sections?.querySelectorAll(":scope > .tab-nav button, :scope > .tab-wrapper button") || [];
        buttons[SECTIONS.indexOf(section)]?.click();
        setTimeout(() => sections?.scrollIntoView({block: "start"}), 200);
    }

    // The buttons within lines. What a line offers in one click begins there; everything else leads to the tab.
    document.addEventListener("click", (event) => {
        const wanted = event.target.closest?.(".memorization-guard-button");
        if (!wanted) {
            return;
        }
        const is = (kind) => wanted.classList.contains(`memorization-guard-${kind}`);
        const tab = TABS.find((one) => wanted.closest(`#memorization_guard_${one}_line`));
        if (is("now") || is("idle")) {
            const kind = is("now") ? "now" : "idle";
            wanted.disabled = true;
            if (tab) {
                press(`${tab}_${kind}`);
            } else {
                open("calibrate");
                press(is("now") ? "tab_calibrate" : "tab_calibrate_idle");
            }
        } else {
            if (wanted.dataset.networks !== undefined) {
                fillNetworks(wanted.dataset.networks);
            }
            open(is("glossary") ? "glossary" : "calibrate");
        }
    }, true);

    function visible(selector) {
        return Array.from(root().querySelectorAll(selector)).some((one) => one.offsetParent !== null);
    }

    // Milliseconds between two looks at what runs; where nothing runs nothing is asked.
    const PACE = 3000;
    const seen = {visited: false, ran: false, asked: 0};

    function follow() {
        const visited = visible("#memorization_guard_tab_sections");
        const runs = visited && visible("#memorization_guard_tab_sections .memorization-guard-running");
        if (visited && (!seen.visited || (seen.ran && !runs))) {
            press("tab_refresh");
        }
        seen.visited = visited;
        seen.ran = runs;
        if (Date.now() - seen.asked < PACE) {
            return;
        }
        if (runs) {
            seen.asked = Date.now();
            press("tab_look");
        }
        for (const tab of TABS) {
            if (visible(`#memorization_guard_${tab}_line .memorization-guard-running`)) {
                seen.asked = Date.now();
                press(`${tab}_look`);
            }
        }
    }

    function lookAll() {
        if (!opened && root().querySelector("#memorization_guard_img2img_renew")) {
            opened = true;
            setTimeout(() => renew(null), 500);
        }
        TABS.forEach(look);
        TABS.forEach(noteLevel);
        follow();
    }

    // Loaded again by "Reload UI", the page is a new one; the hosts call these hooks after every change of the page.
    if (typeof onAfterUiUpdate === "function") {
        onAfterUiUpdate(lookAll);
    } else {
        new MutationObserver(lookAll).observe(document.documentElement, {childList: true, subtree: true});
    }
    // A hidden text box, or which thumbnail is chosen, changes without changing the page.
    for (const event of ["click", "keyup"]) {
        document.addEventListener(event, () => setTimeout(lookAll, 100), true);
    }
    setInterval(lookAll, 1000);
})();
