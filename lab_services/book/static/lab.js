// Loaded in the head, before the page is drawn.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () =>
    root.dataset.mode === "auto" ? (dark.matches ? "dark" : "light") : root.dataset.mode;

  // The theme leaves this empty at a first visit, reports that as an error, and draws twice.
  root.dataset.mode ||= "auto";
  root.dataset.theme = chosen();

  // Paper is white.
  addEventListener("beforeprint", () => (root.dataset.theme = "light"));
  addEventListener("afterprint", () => (root.dataset.theme = chosen()));

  // A search marks its words in the page it leads to, and fails on words that a picture does not show.
  document.addEventListener(
    "readystatechange",
    () => document.querySelectorAll("svg :is(title, desc)")
      .forEach((words) => words.classList.add("nohighlight")),
    { once: true },
  );

  // Buttons that copy code change the layout of the whole page, and nobody misses them at once.
  const folder = document.currentScript.src.replace(/[^/]*$/, "");
  const later = window.requestIdleCallback ?? setTimeout; // not every browser knows the first
  addEventListener("load", () => later(() => {
    for (const name of ["clipboard.min.js", "copybutton.js"]) {
      const script = Object.assign(document.createElement("script"), { src: folder + name, async: false });
      document.head.append(script);
    }
  }));

  // A page opened as a file may not read another one: search results come without their summaries.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
})();
