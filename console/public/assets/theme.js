// Before the first paint, so that a dark room is not lit up by a white page; a file of its own,
// because the content security policy allows no script within the page.
const asked = localStorage.getItem("theme");
const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset.theme = asked ?? (isDark ? "dark" : "light");
