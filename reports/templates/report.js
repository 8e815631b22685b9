"use strict";
// The page is complete without this file: it adds the switch of the theme, and keeps the page still when a cell opens.
const root = document.documentElement;
const toggle = document.getElementById("theme");
const isDark = () =>
  root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const nameToggle = () => { toggle.textContent = isDark() ? "Light" : "Dark"; };
toggle.hidden = false;
toggle.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameToggle(); });
nameToggle();

const links = document.querySelectorAll(".heat a");
function reveal() {
  const cell = location.hash.startsWith("#w") ? document.getElementById(location.hash.slice(1)) : null;
  const panel = cell && cell.closest(".panel");
  if (panel) panel.querySelector("input").checked = true;
  links.forEach((link) => link.classList.toggle("open", link.hash === location.hash));
  if (cell && cell.classList.contains("cell")) cell.scrollIntoView({ block: "nearest" });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest(".heat a, .cell .close");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const top = scrollY;
  const behavior = "instant";
  location.hash = link.classList.contains("open") ? "closed" : link.hash;
  scrollTo({ top, behavior });
});
addEventListener("hashchange", reveal);
addEventListener("keydown", (event) => { if (event.key === "Escape" && document.querySelector(".cell:target")) location.hash = "closed"; });
reveal();
