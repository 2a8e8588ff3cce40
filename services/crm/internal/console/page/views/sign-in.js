import { useState } from "preact/hooks";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { Outside } from "../parts/outside.js";
import { signIn, user } from "../session.js";

export function SignInForm() {
  const [email, setEmail] = useState(user.value?.email ?? "");
  const [password, setPassword] = useState("");
  const form = useForm(() => signIn(email.trim(), password));
  return html`<${Form} form=${form} label="Sign in">
    <${TextField} label="Email" type="email" autocomplete="username" value=${email} onValue=${setEmail} error=${form.wrong("email")} required />
    <${TextField} label="Password" type="password" autocomplete="current-password" value=${password} onValue=${setPassword} error=${form.wrong("password")} required />
    <${Button} kind="primary" type="submit" busy=${form.busy}>Sign in<//>
  <//>`;
}

export const SignIn = () => html`<${Outside} title="Sign in">
  <${SignInForm} />
  <p class="beside"><a href="/register">Register</a><a href="/reset">Forgotten password?</a></p>
<//>`;
