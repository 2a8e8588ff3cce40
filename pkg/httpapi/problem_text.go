package httpapi

import "fixdesk/pkg/errs"

// problemText explains a code to people who write clients, beside its meaning in
// codeMeaning. Text between backquotes is code.
type problemText struct {
	when []string // in which cases it is answered
	do   string   // what the client does about it
}

// problemTexts has a text for each code of the catalogue.
var problemTexts = map[string]problemText{
	errs.CodeMalformedRequest: {
		when: []string{"The request line or a header breaks the syntax of HTTP/1.1 (RFC 9112).", "Something other than HTTP is sent, for example TLS to a port without it.", "At `POST /v1/auth/token`: the body is not a form in UTF-8, repeats a parameter or has no `grant_type`, or the client authenticates in two ways.", "The body of an upload is no `multipart/form-data`, or ends before the file does."},
		do:   "Correct the client. Where it was not HTTP, the connection is closed after the answer.",
	},
	errs.CodeMalformedJSON: {
		when: []string{
			"The body is missing, cut off, not JSON (RFC 8259), not UTF-8, or followed by something else.",
			"A field appears twice in an object, a text has a NUL character or half of a surrogate pair, a number is out of range, or the nesting is deeper than 64 levels.",
		},
		do: "Correct the body; `detail` names the fault. Sending it again unchanged has the same result.",
	},
	errs.CodeValidationFailed: {
		when: []string{
			"A required field, parameter or header is missing, or one that does not exist is sent. Names are case-sensitive.",
			"A value has the wrong type, length or form, or is not one of those allowed.",
		},
		do: "Read `errors`: each entry has the `location` (for example `body.title` or `query.limit`) and what would be right. Show them to the person who typed, or correct the client.",
	},
	errs.CodeUnsupportedMediaType: {
		when: []string{"`Content-Type` is missing or another than `application/json` (with `PATCH` also `application/merge-patch+json`), has another charset than UTF-8, or the body is compressed."},
		do:   "Send JSON in UTF-8 with `Content-Type: application/json`.",
	},
	errs.CodeBodyTooLarge: {
		when: []string{"The body is larger than the operation takes: 1 MiB unless its description says otherwise."},
		do:   "Send less. Nothing was stored.",
	},
	errs.CodeRangeNotSatisfiable: {
		when: []string{"The header `Range` begins behind the end of the file."},
		do:   "Read the size in the header `Content-Range`, and ask for a part of it, or leave `Range` out.",
	},
	errs.CodeHeadersTooLarge: {
		when: []string{"The request line and the headers together are larger than 16 KiB, often because of cookies or a long query."},
		do:   "Send fewer or shorter headers, and a shorter query.",
	},
	errs.CodeNotFound: {
		when: []string{"Nothing has this id or this path.", "It exists and the caller may not see it. Both answers are the same, so that ids can't be tried out."},
		do:   "Check the path and the id, and that you are signed in as the right person.",
	},
	errs.CodeMethodNotAllowed: {
		when: []string{"The path exists and does not take the method of the request."},
		do:   "Use one of the methods in the header `Allow`.",
	},
	errs.CodeNotAcceptable: {
		when: []string{"The header `Accept` excludes the media type of the answer, which is JSON unless the operation's description says otherwise."},
		do:   "Send `Accept: application/json`, or leave the header out.",
	},
	errs.CodeInvalidToken: {
		when: []string{
			"The request has no `Authorization: Bearer` header, more than one, or another scheme.",
			"The access token has expired, was made for another service, or is no longer good: its session was ended, or the account was suspended or rejected.",
			"The API key is unknown, mistyped, revoked or expired, or its owner is suspended or rejected.",
			"A refresh token was used before or has expired; a token from a mail was used before, has expired, or the address has changed.",
		},
		do: "Get a new access token with the refresh token; if that is refused too, sign in again. For a token from a mail, ask for another one. The header `WWW-Authenticate` has `error=\"invalid_token\"` when a token was sent.",
	},
	errs.CodeInvalidCredentials: {
		when: []string{"The address is unknown or the password is wrong; the answer does not reveal which.", "The current password is wrong when it is to be changed.", "At `POST /v1/auth/token`: the key is unknown, revoked or expired, or belongs to another `client_id`."},
		do:   "Let the person type again. Several failures in a row are limited (`rate_limited`).",
	},
	errs.CodeAccountPending: {
		when: []string{"The password is right, and the registration as engineer or admin waits for an admin's decision."},
		do:   "Wait for the mail with the decision, then sign in again.",
	},
	errs.CodeAccountRejected: {
		when: []string{"The password is right, and an admin rejected the registration. `detail` has the reason, if there is one."},
		do:   "Show `detail` to the person. Only an admin can change the decision.",
	},
	errs.CodeAccountSuspended: {
		when: []string{"The password is right, and an admin has suspended the account."},
		do:   "Show it to the person. Only an admin can end the suspension.",
	},
	errs.CodeForbidden: {
		when: []string{"The caller's role or relation to the ticket does not allow the operation.", "A service token or an API key lacks the scope that the operation needs, or no API key may call it.", "The API key is used from outside its networks."},
		do:   "Don't repeat the request. The description of the operation names who may call it, and the scope.",
	},
	errs.CodeEmailTaken: {
		when: []string{"Another account has this address, however it is spelled: addresses are compared without case."},
		do:   "Sign in, or have the password reset (`POST /v1/auth/password/forgot`).",
	},
	errs.CodeAlreadyDecided: {
		when: []string{"Somebody approved or rejected the registration before, perhaps at the same moment."},
		do:   "Read the registration again and show the decision.",
	},
	errs.CodeAlreadyAccepted: {
		when: []string{"An engineer accepted the ticket before. Of many who accept at once exactly one succeeds."},
		do:   "Read the ticket again and show who has it.",
	},
	errs.CodeInvalidTransition: {
		when: []string{"The ticket's status does not allow the wanted step, or not to this caller; for example a closed ticket can only be reopened.", "The step needs an assignee and the ticket has none."},
		do:   "Read the ticket again and offer the steps that its status allows. `PATCH /v1/tickets/{id}` describes them.",
	},
	errs.CodeLastAdmin: {
		when: []string{"The change would leave no approved admin: demoting, rejecting, suspending or erasing the last one."},
		do:   "Approve another admin first.",
	},
	errs.CodeConflict: {
		when: []string{"The resource is not in a state that allows the request; `detail` names the reason.", "Another request changed it at the same moment."},
		do:   "Read the resource again. Repeat the request only if it still makes sense.",
	},
	errs.CodeVersionMismatch: {
		when: []string{"The `ETag` in `If-Match` is not that of the present version: somebody changed the resource since it was read."},
		do:   "Read the resource again, let the person decide about both changes, and send the request with the new `ETag`.",
	},
	errs.CodeInvalidCursor: {
		when: []string{"The `cursor` was changed or cut off, or is from another list or other filters."},
		do:   "Begin the list again without `cursor`. Take cursors as they are from `next_cursor`, and keep the other parameters.",
	},
	errs.CodeIdempotencyMissing: {
		when: []string{"The operation needs the header `Idempotency-Key`, and the request has none."},
		do:   "Make a random key for each new request, such as a UUID, and send the same key when you repeat the request.",
	},
	errs.CodeIdempotencyMismatch: {
		when: []string{"The same `Idempotency-Key` came with another body or operation before."},
		do:   "Use a new key for each new request. If this was meant as a repetition, send exactly the first body.",
	},
	errs.CodeIdempotencyInFlight: {
		when: []string{"A request with the same `Idempotency-Key` is being worked on: a repetition that came too soon."},
		do:   "Wait a second and repeat the request with the same key: it gets the answer of the first.",
	},
	errs.CodeInvalidScope: {
		when: []string{"A token is asked for with a scope that the API key does not have, or that is not one of the notification service.", "The API key has no scope of the notification service at all."},
		do:   "Ask for fewer scopes, or create a key that has them (`POST /v1/keys`).",
	},
	errs.CodeUnsupportedGrantType: {
		when: []string{"A token is asked for with a `grant_type` other than `client_credentials`."},
		do:   "Use the client credentials grant (RFC 6749, section 4.4).",
	},
	errs.CodeRateLimited: {
		when: []string{"The caller made more requests than a limit allows: sign-ins, registrations, mails with tokens, tickets, comments, or requests altogether."},
		do:   "Wait as many seconds as `Retry-After` says before the next try. `RateLimit` and `RateLimit-Policy` name the limit and what is left of it.",
	},
	errs.CodeUnavailable: {
		when: []string{"The database does not answer or takes no writes, the service starts, or it serves as many requests as it can.", "The request took longer than its time limit."},
		do:   "Wait as many seconds as `Retry-After` says, then repeat the request; double the wait with each further try. A request that changes something may have taken effect: repeat it with its `Idempotency-Key`, or read first.",
	},
	errs.CodeInternal: {
		when: []string{"A defect, or a failure that the service does not know."},
		do:   "Report it with the `request_id`, which names the request in the log. Repeating it later may succeed.",
	},
}
