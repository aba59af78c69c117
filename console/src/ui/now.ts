/** The time, every ten seconds or every second, once for all who show it. */
import { useSyncExternalStore } from "react";

function ticker(everyMs: number) {
  const listeners = new Set<() => void>();
  let now = Date.now();
  let timer = 0;
  const subscribe = (listener: () => void) => {
    listeners.add(listener);
    if (listeners.size === 1) {
      now = Date.now();
      timer = window.setInterval(() => {
        now = Date.now();
        for (const each of listeners) each();
      }, everyMs);
    }
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) clearInterval(timer);
    };
  };
  return () => useSyncExternalStore(subscribe, () => now);
}

export const useNow = ticker(10_000);
export const useSeconds = ticker(1_000);
