/** The frame around all pages. */
import {
  Component,
  type ComponentType,
  lazy,
  type ReactNode,
  Suspense,
  useEffect,
  useState,
} from "react";
import { undo } from "./judging";
import { useKeys } from "./keys";
import { Live } from "./pages/live";
import { go, setQuery, usePlace } from "./router";
import { useSession } from "./session";
import { toast } from "./toasts";
import { Button } from "./ui/frame";
import { Help } from "./ui/help";
import { Nav, PAGES } from "./ui/nav";
import { Empty, Failed, Skeleton } from "./ui/states";
import { Toasts } from "./ui/toasts";

const Palette = lazy(() => import("./ui/palette"));
const SignIn = lazy(() => import("./pages/sign-in"));
const pages: Record<string, ComponentType> = {
  "": Live,
  alerts: lazy(() => import("./pages/alerts")),
  case: lazy(() => import("./pages/case")),
  entity: lazy(() => import("./pages/entity")),
  models: lazy(() => import("./pages/models")),
  rules: lazy(() => import("./pages/rules")),
  system: lazy(() => import("./pages/system")),
};

export function App() {
  const session = useSession();
  if (session.error && !session.data) {
    return (
      <main className="p-10">
        <Failed what="your session" error={session.error} retry={() => void session.refetch()} />
      </main>
    );
  }
  if (session.data === undefined) return <Skeleton lines={8} className="p-10" />;
  if (session.data === null) {
    return (
      <Suspense fallback={null}>
        <SignIn />
      </Suspense>
    );
  }
  return <Console />;
}

function Console() {
  const { parts, query } = usePlace();
  const [isHelping, setHelping] = useState(false);
  const name = parts[0] ?? "";
  const isAsking = query.has("find");
  const ask = () => setQuery({ find: "all" }, "replace");
  const close = () => setQuery({ find: null }, "replace");
  useKeys({
    "?": () => setHelping(true),
    "/": ask,
    "cmd-k": () => (isAsking ? close() : ask()),
    u: () => {
      if (undo() === null) toast("There is nothing left to undo.");
    },
    ...Object.fromEntries(PAGES.map((page, n) => [String(n + 1), () => go(page.href)])),
  });
  useEffect(() => {
    const page = PAGES.find((one) => one.href === `/${name}`)?.name ?? name;
    document.title = `${page.charAt(0).toUpperCase()}${page.slice(1)} · Alcyon`;
  }, [name]);
  const Page = pages[name];
  return (
    <div className="flex h-full flex-col">
      <Nav onHelp={() => setHelping(true)} onFind={ask} />
      <main className="min-h-0 grow overflow-y-auto">
        <Fence key={name}>
          <Suspense fallback={<Skeleton lines={8} className="p-6" />}>
            {Page ? <Page /> : <Lost />}
          </Suspense>
        </Fence>
      </main>
      <Toasts />
      {isHelping && <Help onClose={() => setHelping(false)} />}
      {isAsking && (
        <Suspense fallback={null}>
          <Palette onClose={close} />
        </Suspense>
      )}
    </div>
  );
}

function Lost() {
  return (
    <Empty title="There is no such page">
      <Button onClick={() => go("/")}>Go to Live</Button>
    </Empty>
  );
}

/** A page that breaks takes no other with it. */
class Fence extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    const again = () => this.setState({ error: null });
    return <Failed what="this page" error={error} retry={again} />;
  }
}
