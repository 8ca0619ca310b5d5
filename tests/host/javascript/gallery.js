// What a page knows of the host's settings, and who wants to hear of a change.
var opts = {};
var optionsChangedCallbacks = [];

function onOptionsChanged(callback) {
    optionsChangedCallbacks.push(callback);
}

// The infotext follows the picture that is chosen in the gallery, by a hidden button, as in the hosts.
function gradioApp() {
    return document.querySelector("gradio-app")?.shadowRoot || document;
}

function selected_gallery_index() {
    const shown = Array.from(gradioApp().querySelectorAll("[id$=_gallery] .thumbnails > .thumbnail-item")).filter((item) => item.offsetParent);
    return shown.findIndex((item) => item.classList.contains("selected"));
}

setInterval(() => {
    for (const tab of ["txt2img", "img2img"]) {
        const gallery = gradioApp().querySelector(`#${tab}_gallery`);
        if (gallery && !gallery.followed) {
            gallery.followed = true;
            gallery.addEventListener("click", () => gradioApp().querySelector(`#${tab}_generation_info_button`).click());
        }
    }
}, 200);
