/** WebSocket feeds, opened anew when they end. */
import { useEffect, useRef, useState } from "react";

export type FeedState = { is: "connecting" | "open" } | { is: "lost"; since: number };

const WAIT_MS_MAX = 15_000;

export function useFeed<T>(feed: string, take: (message: T) => void): FeedState {
  const [state, setState] = useState<FeedState>({ is: "connecting" });
  const taking = useRef(take);
  taking.current = take;
  useEffect(() => {
    let socket: WebSocket | undefined;
    let timer = 0;
    let tries = 0;
    let isOver = false;
    const open = () => {
      const address = new URL(`/v1/feeds/${feed}`, location.href);
      address.protocol = address.protocol.replace("http", "ws");
      socket = new WebSocket(address);
      socket.onopen = () => {
        tries = 0;
        setState({ is: "open" });
      };
      socket.onmessage = (event) => taking.current(JSON.parse(event.data) as T);
      socket.onclose = () => {
        if (isOver) return;
        setState((before) => (before.is === "lost" ? before : { is: "lost", since: Date.now() }));
        timer = window.setTimeout(open, Math.min(500 * 2 ** tries, WAIT_MS_MAX));
        tries += 1;
      };
    };
    open();
    return () => {
      isOver = true;
      clearTimeout(timer);
      socket?.close();
    };
  }, [feed]);
  return state;
}
