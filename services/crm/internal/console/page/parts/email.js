import { html } from "../html.js";

/** An address, which breaks after its @ where there is no space for it. @param {{of: string}} props */
export function Email({ of }) {
  const [mailbox, domain] = of.split("@");
  return html`<span>${mailbox}${domain && html`@<wbr />${domain}`}</span>`;
}
