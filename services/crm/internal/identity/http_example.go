package identity

import (
	"encoding/json"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/example"
)

// The people of the examples.
var (
	exampleAda       = exampleUser(example.Ada, RoleCustomer, StatusApproved)
	exampleErik      = exampleUser(example.Erik, RoleEngineer, StatusApproved)
	exampleSofia     = exampleUser(example.Sofia, RoleEngineer, StatusApproved)
	exampleSuspended = exampleUser(example.Sofia, RoleEngineer, StatusSuspended)
	exampleUsers     = httpapi.NewPage([]UserBody{exampleErik, exampleSofia, exampleAda}, example.NextCursor)
	exampleMe        = meBody{exampleErik, new(true)}
	exampleMeAway    = meBody{exampleErik, new(false)}
)

func exampleUser(p example.Person, r Role, s Status) UserBody {
	verified, at := example.At("08:05:00"), example.At("08:00:00")
	return UserBody{
		ID: p.ID, Name: p.Name, Email: p.Email, Role: r, Status: s, EmailVerifiedAt: httpapi.NullTime(&verified),
		CreatedAt: httpapi.NewTime(at), UpdatedAt: httpapi.NewTime(verified),
	}
}

var exampleGrant = tokenGrantBody{ //nolint:gosec // no token
	AccessToken: "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.example", TokenType: "Bearer", ExpiresIn: 600,
	RefreshToken: "example-refresh-token", User: exampleAda,
}

var exampleKeySet = keySetBody{Keys: []map[string]string{{
	"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "example", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}}}

var exampleSessions = httpapi.NewPage([]sessionBody{{
	ID: example.SessionID, Current: true, Address: "192.0.2.17", UserAgent: "Mozilla/5.0",
	CreatedAt: httpapi.NewTime(example.At("09:25:00")), UsedAt: httpapi.NewTime(example.At("11:05:00")),
	ExpiresAt: httpapi.NewTime(example.At("09:25:00").AddDate(0, 0, 1)),
}}, "")

// The registration of the examples, before and after the decision.
var (
	examplePending       = registrationBody{UserBody: exampleUser(example.Jonas, RoleEngineer, StatusPending)}
	exampleApproved      = decided(StatusApproved, nil)
	exampleRejected      = decided(StatusRejected, new("We know nobody of this name."))
	exampleRegistrations = httpapi.NewPage([]registrationBody{examplePending}, "")
)

func decided(s Status, reason *string) registrationBody {
	at := example.At("08:30:00")
	return registrationBody{
		UserBody: exampleUser(example.Jonas, RoleEngineer, s), DecidedBy: &example.Mira.ID, DecidedAt: httpapi.NullTime(&at), Reason: reason,
	}
}

var exampleAudit = httpapi.NewPage([]auditEventBody{{
	ID: example.EventID, Kind: auditApproved, ActorID: &example.Mira.ID, ActorName: &example.Mira.Name, ObjectID: &example.Jonas.ID, ObjectName: &example.Jonas.Name,
	Before: facts(map[string]any{"role": "engineer", "status": "pending"}), After: facts(map[string]any{"role": "engineer", "status": "approved"}),
	Address: new("192.0.2.44"), RequestID: example.RequestID, CreatedAt: httpapi.NewTime(example.At("08:30:00")),
}}, "")

var (
	exampleKey = KeyBody{
		ID: uuid.MustParse("019bb1a0-1c80-7ca7-8c14-9fd153721e68"), Name: "Monitoring", Owner: keyOwnerBody{example.Mira.ID, example.Mira.Name},
		Scopes: []Scope{ScopeTicketsRead, ScopeTicketsWrite}, Networks: []string{"192.0.2.0/24"}, Hint: "fd_live_Ex4m",
		CreatedAt: httpapi.NewTime(example.At("09:26:00")), ExpiresAt: httpapi.NewTime(example.At("09:26:00").AddDate(0, 0, 90)),
	}
	exampleIssuedKey = IssuedKeyBody{exampleKey, "fd_live_Ex4mple…"}
)

// The bodies of requests, in the order in which a person writes them.
var (
	exampleRegister   = json.RawMessage(`{"name":"Ada Moreno","email":"ada@example.com","password":"a lamp in the hallway"}`)
	exampleLogin      = json.RawMessage(`{"email":"ada@example.com","password":"a lamp in the hallway"}`)
	exampleRefresh    = json.RawMessage(`{"refresh_token":"example-refresh-token"}`)
	exampleToken      = json.RawMessage(`{"token":"example-token-of-the-mail"}`)
	exampleForgot     = json.RawMessage(`{"email":"ada@example.com"}`)
	exampleReset      = json.RawMessage(`{"token":"example-token-of-the-mail","password":"a clock on the stairs"}`)
	exampleChangeMe   = json.RawMessage(`{"available":false,"hand_over":true}`)
	examplePassword   = json.RawMessage(`{"current_password":"a lamp in the hallway","new_password":"a clock on the stairs"}`)
	exampleSuspend    = json.RawMessage(`{"status":"suspended","reason":"On leave until April."}`)
	exampleInvite     = json.RawMessage(`{"name":"Sofia Reyes","email":"sofia@example.com","role":"engineer"}`)
	exampleRefusal    = json.RawMessage(`{"reason":"We know nobody of this name."}`)
	exampleKeyRequest = json.RawMessage(`{"name":"Monitoring","scopes":["tickets:read","tickets:write"],"networks":["192.0.2.0/24"]}`)
	exampleRotation   = json.RawMessage(`{"overlap_seconds":3600}`)
)

var exampleExport = json.RawMessage(`{"profile":{"id":"019bab7a-4c00-7c11-8a01-5b7d9e3f1a01","name":"Ada Moreno","email":"ada@example.com"},` +
	`"preferences":[],"sessions":[],"api_keys":[],"tickets":[],"comments":[],"attachments":[],"mails":[],` +
	`"follows":[{"ticket_id":"019bab7a-4c00-7c11-8a01-5b7d9e3f1b01","number":42,"created_at":"2026-02-11T09:30:00.000000Z"}],"audit_events":[]}`)
