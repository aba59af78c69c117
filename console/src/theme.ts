/** Light or dark: the system's, until somebody chose. */
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
const system = matchMedia("(prefers-color-scheme: dark)");

function show(theme: string) {
  document.documentElement.dataset.theme = theme;
  for (const listener of listeners) listener();
}

system.addEventListener("change", () => {
  if (localStorage.getItem("theme") === null) show(system.matches ? "dark" : "light");
});

export function toggleTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  // Back at what the system wants: follow it again.
  if (next === (system.matches ? "dark" : "light")) localStorage.removeItem("theme");
  else localStorage.setItem("theme", next);
  show(next);
}

export function useTheme(): string {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => document.documentElement.dataset.theme ?? "light",
  );
}

/** A colour of the theme, for canvases. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
