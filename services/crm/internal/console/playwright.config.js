// The tests of the console: real Chromium against the whole local stack, which is
// started for them. CONSOLE_URL names one that runs already.
import { defineConfig } from "@playwright/test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const port = Number(process.env.CONSOLE_TEST_PORT ?? 18700);
const running = process.env.CONSOLE_URL;
const root = new URL("../../../../", import.meta.url).pathname;

/** Where the stack takes mail in by SMTP, and where its mails are seen. */
export const inboundAddr = process.env.NOTIFICATION_INBOUND_ADDR ?? `127.0.0.1:${port + 6}`;
export const mailPages = `http://${process.env.MAIL_HTTP_ADDR ?? `127.0.0.1:${port + 5}`}`;

export const admin = { email: "admin@fixdesk.test", password: "the admin of the tests" };

export default defineConfig({
  testDir: "test",
  outputDir: "test-results/artifacts",
  reporter: process.env.CI ? "line" : "list",
  workers: 1, // the cores are for the stack
  forbidOnly: Boolean(process.env.CI),
  timeout: 300_000, // of a machine that is busy with something else
  expect: { timeout: 60_000 },
  use: {
    baseURL: running ?? `http://localhost:${port}`,
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    trace: "retain-on-failure",
    launchOptions: { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] },
  },
  webServer: running
    ? undefined
    : {
        command: "deploy/local/build.sh && exec ${FIXDESK_BIN:-bin}/local",
        cwd: root,
        url: `http://localhost:${port}/readyz`,
        timeout: 600_000,
        gracefulShutdown: { signal: "SIGTERM", timeout: 60_000 },
        env: {
          ...process.env,
          CRM_ADDR: `127.0.0.1:${port}`,
          CRM_OPS_ADDR: `127.0.0.1:${port + 1}`,
          NOTIFICATION_ADDR: `127.0.0.1:${port + 2}`,
          NOTIFICATION_OPS_ADDR: `127.0.0.1:${port + 3}`,
          MAIL_SMTP_ADDR: `127.0.0.1:${port + 4}`,
          MAIL_HTTP_ADDR: new URL(mailPages).host,
          NOTIFICATION_INBOUND_ADDR: inboundAddr,
          FIXDESK_STATE: process.env.FIXDESK_STATE ?? mkdtempSync(join(tmpdir(), "fixdesk-console-")),
          CRM_ADMIN_EMAIL: admin.email,
          CRM_ADMIN_PASSWORD: admin.password,
          CRM_RATE_LIMIT: "off",
        },
      },
});
