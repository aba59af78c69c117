/** Keys: single letters act where nobody is typing; the newest page's keys come first. */
import { useEffect, useRef } from "react";

export type Keys = Record<string, (event: KeyboardEvent) => void>;

const layers: { current: Keys }[] = [];
let modal = 0;

function nameOf(event: KeyboardEvent): string {
  const isCommand = event.metaKey || event.ctrlKey;
  return (isCommand ? "cmd-" : "") + event.key.toLowerCase();
}

function isTyping(event: KeyboardEvent): boolean {
  const at = event.target;
  return at instanceof HTMLElement && at.matches("input, textarea, select, [contenteditable]");
}

function isPressing(event: KeyboardEvent): boolean {
  // Enter and space belong to the button or link that has the focus.
  const at = event.target;
  const isOwn = event.key === "Enter" || event.key === " ";
  return isOwn && at instanceof HTMLElement && at.matches("button, a");
}

window.addEventListener("keydown", (event) => {
  const name = nameOf(event);
  const isCommand = name.startsWith("cmd-");
  if (event.altKey || event.isComposing || isPressing(event)) return;
  if (!isCommand && (isTyping(event) || modal > 0)) return;
  for (const layer of layers.toReversed()) {
    const act = layer.current[name];
    if (act) {
      event.preventDefault();
      act(event);
      return;
    }
  }
});

export function useKeys(keys: Keys) {
  const layer = useRef(keys);
  layer.current = keys;
  useEffect(() => {
    layers.push(layer);
    return () => {
      layers.splice(layers.indexOf(layer), 1);
    };
  }, []);
}

/** While a dialog is open, letters are its own. */
export function useModal() {
  useEffect(() => {
    modal += 1;
    return () => {
      modal -= 1;
    };
  }, []);
}
