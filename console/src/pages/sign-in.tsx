import { useState } from "react";
import { post } from "../api/client";
import type { Caller } from "../api/types";
import { signedIn } from "../session";
import { told } from "../toasts";
import { Button, fieldStyle } from "../ui/frame";

export default function SignIn() {
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const submit = async (form: FormData) => {
    setBusy(true);
    setProblem("");
    try {
      const given = { name: form.get("name"), password: form.get("password") };
      signedIn(await post<Caller>("/v1/session", given));
    } catch (error) {
      setProblem(told(error));
      setBusy(false);
    }
  };
  return (
    <main className="grid h-full place-items-center">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit(new FormData(event.currentTarget));
        }}
        className="w-80 rounded-xl border border-line bg-surface p-6"
      >
        <h1 className="mb-4 flex items-center gap-2 text-lg font-semibold">
          <img src="/assets/alcyon.svg" alt="" className="size-6" />
          Sign in to Alcyon
        </h1>
        <label className="mb-3 block">
          <span className="text-soft">Name</span>
          <input
            name="name"
            required
            autoComplete="username"
            className={`${fieldStyle} mt-1 w-full`}
          />
        </label>
        <label className="mb-4 block">
          <span className="text-soft">Password</span>
          <input
            name="password"
            type="password"
            required
            autoComplete="current-password"
            className={`${fieldStyle} mt-1 w-full`}
          />
        </label>
        {problem && (
          <p role="alert" className="mb-3 text-decline">
            {problem}
          </p>
        )}
        <Button kind="main" type="submit" disabled={isBusy} className="w-full justify-center">
          {isBusy ? "Signing in…" : "Sign in"}
        </Button>
        <p className="mt-4 text-xs text-soft">
          No account yet? An administrator makes one: <code>alcyon users add</code>.
        </p>
      </form>
    </main>
  );
}
