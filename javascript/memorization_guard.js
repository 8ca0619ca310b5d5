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
        return told ? {number: Number(told.dataset.answer), verdicts: JSON.parse(told.dataset.verdicts)} : {number: 0, verdicts: []};
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

    function mark(tab, verdicts) {
        for (const list of [".thumbnails", ".grid-container"]) {
            thumbnails(tab, list).forEach((item, number) => {
                const verdict = verdicts[number] || "";
                if ((item.dataset.memorizationGuard || "") === verdict) {
                    return;
                }
                if (verdict) {
                    item.dataset.memorizationGuard = verdict;
                } else {
                    delete item.dataset.memorizationGuard;
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
        mark(tab, info === now.info && told.number >= now.first ? told.verdicts : []);
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
            root().querySelector(`#memorization_guard_${tab}_renew`)?.click();
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
            settling[tab] = setTimeout(() => root().querySelector(`#memorization_guard_${tab}_settle`)?.click(), 200);
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

    // The button beside "No profile" leads to the tab; what it costs is agreed to there.
    document.addEventListener("click", (event) => {
        const wanted = event.target.closest?.(".memorization-guard-calibrate");
        if (wanted) {
            if (wanted.dataset.networks !== undefined) {
                fillNetworks(wanted.dataset.networks);
            }
            const names = Array.from(root().querySelectorAll("#tabs > .tab-nav button, #tabs > .tab-wrapper button"));
            names.find((one) => one.innerText.trim() === "Memorization Guard")?.click();
            setTimeout(() => root().querySelector("#memorization_guard_tab_calibrate")?.scrollIntoView({block: "center"}), 200);
        }
    }, true);

    function lookAll() {
        if (!opened && root().querySelector("#memorization_guard_img2img_renew")) {
            opened = true;
            setTimeout(() => renew(null), 500);
        }
        TABS.forEach(look);
        TABS.forEach(noteLevel);
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
