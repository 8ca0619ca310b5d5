// What a person asks about a flagged image: the buttons under its verdict press hidden ones, which are handed the infotext and the picture that are
// shown. What was answered about one picture is hidden as soon as another one is shown.
(function () {
    "use strict";

    // Pixels of the picture's shorter side that are sent: the server makes it smaller still.
    const SIDE = 384;

    function root() {
        return typeof gradioApp === "function" ? gradioApp() : document;
    }

    function thumbnails(tab) {
        const all = (list) => Array.from(root().querySelectorAll(`#${tab}_gallery ${list} .thumbnail-item`));
        const strip = all(".thumbnails");
        return strip.length ? strip : all(".grid-container");
    }

    function information(tab) {
        const box = root().querySelector(`#generation_info_${tab} textarea, #generation_info_${tab} input`);
        return box ? box.value : "";
    }

    // The number of the chosen picture, and its infotext; the grid of a batch is a picture of its own.
    function chosen(tab) {
        const index = Math.max(thumbnails(tab).findIndex((item) => item.classList.contains("selected")), 0);
        try {
            return {index: index, infotext: JSON.parse(information(tab)).infotexts[index] || ""};
        } catch {
            return {index: index, infotext: ""};
        }
    }

    function pixels(image) {
        const [width, height] = [image.naturalWidth, image.naturalHeight];
        const scale = Math.min(1, SIDE / Math.min(width, height));
        const canvas = document.createElement("canvas");
        canvas.width = Math.max(1, Math.round(width * scale));
        canvas.height = Math.max(1, Math.round(height * scale));
        const pen = canvas.getContext("2d");
        pen.imageSmoothingQuality = "high";
        pen.drawImage(image, 0, 0, canvas.width, canvas.height);
        return canvas.toDataURL("image/png");
    }

    // The thumbnail's picture is the whole one, shown small.
    async function pictureOf(tab, index) {
        const shown = thumbnails(tab)[index]?.querySelector("img") || root().querySelector(`#${tab}_gallery img`);
        if (!shown) {
            return "";
        }
        const image = new Image();
        image.src = shown.src;
        await image.decode();
        return pixels(image);
    }

    const asked = {};

    function state(tab) {
        return `${chosen(tab).index} ${information(tab)}`;
    }

    window.memorizationGuardShown = async function (tab, wanted) {
        const found = chosen(tab);
        let picture = "";
        try {
            picture = wanted === "picture" ? await pictureOf(tab, found.index) : "";
        } catch {
            // The server says that there is none.
        }
        return [JSON.stringify({infotext: found.infotext, picture: picture})];
    };

    document.addEventListener("click", (event) => {
        const button = event.target.closest?.(".memorization-guard-more");
        const tab = button?.closest("[id^=memorization_guard_verdict_]")?.id.replace("memorization_guard_verdict_", "");
        if (tab) {
            asked[tab] = state(tab);
            const answer = root().querySelector(`#memorization_guard_more_${tab}`);
            if (answer) {
                answer.classList.remove("memorization-guard-stale");
            }
            root().querySelector(`#memorization_guard_${button.dataset.wanted}_${tab}`)?.click();
        }
    }, true);

    setInterval(() => {
        for (const tab of Object.keys(asked)) {
            root().querySelector(`#memorization_guard_more_${tab}`)?.classList.toggle("memorization-guard-stale", asked[tab] !== state(tab));
        }
    }, 500);
})();
