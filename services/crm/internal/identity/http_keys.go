package identity

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

const tagKeys = "keys"

// KeyBody is an API key in an answer. It is exported because huma documents only
// exported embedded structs.
type KeyBody struct {
	ID         uuid.UUID                      `json:"id" format:"uuid" doc:"The key's id, which is no secret."`
	Name       string                         `json:"name" doc:"What it is for, for people."`
	Owner      keyOwnerBody                   `json:"owner" doc:"The user for whom it acts."`
	Scopes     []Scope                        `json:"scopes" doc:"What it may be used for."`
	Networks   []string                       `json:"networks" doc:"The networks from which it may be used, in CIDR notation; empty: any."`
	Hint       string                         `json:"hint" doc:"The beginning of its newest secret."`
	CreatedAt  httpapi.Time                   `json:"created_at" doc:"When it was made."`
	ExpiresAt  httpapi.Time                   `json:"expires_at" doc:"From when on it is refused."`
	LastUsedAt httpapi.Nullable[httpapi.Time] `json:"last_used_at" doc:"When it was used last, to the minute; null: never."`
}

type keyOwnerBody struct {
	ID   uuid.UUID `json:"id" format:"uuid" doc:"The user's id."`
	Name string    `json:"name" doc:"The user's name."`
}

func viewKey(k Key) KeyBody {
	b := KeyBody{
		ID: k.ID, Name: k.Name, Owner: keyOwnerBody{k.OwnerID, k.OwnerName}, Scopes: k.Scopes, Networks: []string{}, Hint: k.Hint,
		CreatedAt: httpapi.NewTime(k.CreatedAt), ExpiresAt: httpapi.NewTime(k.ExpiresAt), LastUsedAt: httpapi.NullTime(k.LastUsedAt),
	}
	for _, n := range k.Networks {
		b.Networks = append(b.Networks, n.String())
	}
	return b
}

// IssuedKeyBody is an API key with its newest secret.
type IssuedKeyBody struct {
	KeyBody
	Secret string `json:"secret" doc:"The key, for the Authorization header. It is in no other answer."`
}

type keySecretOutput struct {
	Location string `header:"Location"`
	Body     IssuedKeyBody
}

func answerKeySecret(k Key, secret string, err error) (*keySecretOutput, error) {
	if err != nil {
		return nil, err
	}
	return &keySecretOutput{Location: "/v1/keys/" + k.ID.String(), Body: IssuedKeyBody{viewKey(k), secret}}, nil
}

type createKeyInput struct {
	Body struct {
		Name      string     `json:"name" minLength:"1" maxLength:"100" doc:"What it is for, for people."`
		Scopes    []Scope    `json:"scopes" minItems:"1" maxItems:"8" doc:"What it may be used for, each scope once, within what its owner may do. admin and notifications:… are for admins."`
		Networks  []string   `json:"networks,omitempty" maxItems:"20" doc:"The networks from which it may be used, in CIDR notation; none: any."`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"At most 366 days ahead; 90 days unless given."`
	}
}

type rotateKeyInput struct {
	ID   uuid.UUID `path:"id" format:"uuid" doc:"The key's id."`
	Body *struct {
		OverlapSeconds *int       `json:"overlap_seconds,omitempty" minimum:"0" maximum:"604800" doc:"How long earlier secrets still work: 0 to 7 days, 1 day unless given."`
		ExpiresAt      *time.Time `json:"expires_at,omitempty" doc:"Another expiry of the key, at most 366 days ahead."`
	}
}

type listKeysInput struct {
	httpapi.PageParams
	Owner string `query:"owner" maxLength:"36" doc:"For admins: the id of a user, or all. One's own keys without it."`
}

const keysDescription = "A key acts for the user who made it: at each request it is allowed what its owner is allowed then, and of that what its scopes include. " +
	"It is sent as `Authorization: Bearer fd_live_…`. No key can be used for sessions, passwords, keys and the erasure of people."

func registerAPIKeys(api *httpapi.API, s *Service) {
	httpapi.Enum(api, "KeyScope", "What an API key may be used for: tickets:read tickets, their comments, events and reports; tickets:write to raise and change them; "+
		"people:read users, registrations and one's own profile; people:write one's own name and availability; "+
		"admin to change accounts, decide about registrations, and read audit and outbox; "+
		"notifications:… to get tokens for the notification service.", Scopes...)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/keys", ID: "create-key", Tag: tagKeys, Status: http.StatusCreated, Allow: anyRole, Secret: true,
		Summary: "Create an API key", Description: keysDescription + " A user has at most 50 valid keys.",
		RequestExample: exampleKeyRequest, Example: exampleIssuedKey,
		Errors: []string{errs.CodeConflict},
	}, func(ctx context.Context, in *createKeyInput) (*keySecretOutput, error) {
		return answerKeySecret(s.CreateKey(ctx, PrincipalFrom(ctx), NewKey{
			Name: in.Body.Name, Scopes: in.Body.Scopes, Networks: in.Body.Networks, ExpiresAt: in.Body.ExpiresAt,
		}))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/keys", ID: "list-keys", Tag: tagKeys, Allow: anyRole,
		Summary: "One's own API keys, newest first", Description: "Admins list those of others with `owner`. Expired keys are listed for 30 days.", Example: httpapi.NewPage([]KeyBody{exampleKey}, ""),
		Errors: []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listKeysInput) (*httpapi.PageOutput[KeyBody], error) {
		return listKeys(ctx, s, in)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/keys/{id}", ID: "get-key", Tag: tagKeys, Allow: anyRole, Resource: true,
		Summary: "One API key, without its secret", Description: "One's own, or for an admin any.", Example: exampleKey, Errors: []string{errs.CodeNotFound},
	}, func(ctx context.Context, in *idInput) (*struct{ Body KeyBody }, error) {
		k, err := s.Key(ctx, PrincipalFrom(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		return &struct{ Body KeyBody }{viewKey(k)}, nil
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/keys/{id}/rotate", ID: "rotate-key", Tag: tagKeys, Status: http.StatusOK, Allow: anyRole, Secret: true,
		Summary: "Make a new secret of one's own API key",
		Description: "Earlier secrets work until the overlap is over, and not longer than an earlier rotation said. " +
			"With `overlap_seconds` 0 they are refused at once. At most five secrets of a key are valid at a time.",
		RequestExample: exampleRotation, Example: exampleIssuedKey,
		Errors: []string{errs.CodeNotFound, errs.CodeConflict},
	}, func(ctx context.Context, in *rotateKeyInput) (*keySecretOutput, error) {
		r := Rotation{ID: in.ID, Overlap: 24 * time.Hour}
		if in.Body != nil {
			r.ExpiresAt = in.Body.ExpiresAt
			if in.Body.OverlapSeconds != nil {
				r.Overlap = time.Duration(*in.Body.OverlapSeconds) * time.Second
			}
		}
		return answerKeySecret(s.RotateKey(ctx, PrincipalFrom(ctx), r))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/keys/{id}", ID: "revoke-key", Tag: tagKeys, Status: http.StatusNoContent, Allow: anyRole,
		Summary:     "Revoke an API key; it is refused from the next request on",
		Description: "One's own, or for an admin any.",
		Errors:      []string{errs.CodeNotFound},
	}, func(ctx context.Context, in *idInput) (*struct{}, error) {
		return nil, s.RevokeKey(ctx, PrincipalFrom(ctx), in.ID)
	})
}

var errKeyOwner = errors.New("must be the id of a user, or all")

func listKeys(ctx context.Context, s *Service, in *listKeysInput) (*httpapi.PageOutput[KeyBody], error) {
	p := PrincipalFrom(ctx)
	owner := &p.UserID
	switch id, err := uuid.Parse(in.Owner); {
	case in.Owner == "":
	case in.Owner == "all":
		owner = nil
	case err != nil:
		return nil, invalid("query.owner", errKeyOwner)
	default:
		owner = &id
	}
	return httpapi.Pager[Key, Position, KeyBody]{
		Filters:  []any{"keys", owner},
		Fetch:    func(after *Position, n int) ([]Key, error) { return s.APIKeys(ctx, p, owner, after, n) },
		Position: func(k Key) Position { return Position{k.CreatedAt, k.ID} },
		View:     viewKey,
	}.Page(ctx, in.PageParams)
}
