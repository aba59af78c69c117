import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The server to develop against: `alcyon serve`, or `python -m tests.console.serve`.
const server = process.env.ALCYON_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  build: {
    outDir: "../src/alcyon/api/static",
    emptyOutDir: true,
    // The server's content security policy allows files of its own, and no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.md" },
    target: "es2023",
  },
  server: { proxy: { "/v1": { target: server, ws: true } } },
});
