// Mails to and from the stack of the tests.
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { inboundAddr, mailPages } from "../playwright.config.js";
import { expect } from "./people.js";

/** Text in a header (RFC 2047). @param {string} text */
const encoded = (text) => `=?utf-8?B?${Buffer.from(text).toString("base64")}?=`;

/**
 * Sends a mail to the stack's listener by SMTP (RFC 5321), which has stored it afterwards.
 * @param {{from: string, name?: string, to: string, cc?: string, subject: string, text: string, file?: {name: string, content: Buffer}}} mail
 */
export async function sendMail({ from, name = "", to, cc, subject, text, file }) {
  const part = (/** @type {string[]} */ headers, /** @type {Buffer} */ content) => [...headers, "Content-Transfer-Encoding: base64", "", content.toString("base64").replace(/.{76}/g, "$&\r\n")];
  const mail = [
    `From: ${name && encoded(name)} <${from}>`, `To: <${to}>`, ...(cc ? [`Cc: ${cc}`] : []), `Subject: ${encoded(subject)}`,
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`, `Message-ID: <${crypto.randomUUID()}@example.com>`, "MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="part"', "",
    "--part", ...part(["Content-Type: text/plain; charset=utf-8"], Buffer.from(text)),
    ...(file ? ["--part", ...part(["Content-Type: application/octet-stream", `Content-Disposition: attachment; filename*=utf-8''${encodeURIComponent(file.name)}`], file.content)] : []),
    "--part--",
  ];
  const socket = connect({ host: inboundAddr.split(":")[0], port: Number(inboundAddr.split(":")[1]) });
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const answer = async (/** @type {RegExp} */ wanted) => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error("The listener closed the connection.");
      if (value[3] === "-") continue; // more lines follow
      expect(value).toMatch(wanted);
      return;
    }
  };
  await answer(/^220/);
  for (const [command, wanted] of /** @type {[string, RegExp][]} */ ([
    ["EHLO mail.example.com", /^250/], [`MAIL FROM:<${from}>`, /^250/], [`RCPT TO:<${to}>`, /^250/], ["DATA", /^354/], [mail.join("\r\n") + "\r\n.", /^250/], ["QUIT", /^221/],
  ])) {
    socket.write(command + "\r\n");
    await answer(wanted);
  }
  socket.destroy();
}

/** Where somebody answers the mails about a ticket: the Reply-To of one. @param {{email: string}} person @param {{number: number}} ticket @returns {Promise<string>} */
export async function replyAddress(person, ticket) {
  let address = "";
  await expect.poll(async () => {
    const { items } = await read(`/api/messages?to=${encodeURIComponent(person.email)}`);
    const about = items.find((/** @type {any} */ m) => m.subject.includes(`#${ticket.number}]`));
    if (about) address = /[^\s<]+@[^\s>]+/.exec((await read(`/api/messages/${about.id}`)).headers["Reply-To"][0])?.[0] ?? "";
    return address;
  }).toContain("+");
  return address;
}

/** @param {string} path */
const read = async (path) => (await fetch(mailPages + path)).json();
