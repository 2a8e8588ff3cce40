package httpapi

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// The security schemes of the OpenAPI document.
const (
	bearerScheme = "bearer"
	apiKeyScheme = "apiKey"
)

// apiKeySecurity describes API keys, in services that take them.
var apiKeySecurity = &huma.SecurityScheme{ //nolint:gosec // the prefix of keys is no key
	Type: "http", Scheme: "bearer", BearerFormat: "fd_live_…",
	Description: "An API key of POST /v1/keys, sent as bearer token. It may do what its owner may and its scopes include; " +
		"each operation that takes API keys names the scope.",
}

// jsonFormat doesn't escape <, > and &, since answers are never part of a page.
// What it reads has passed checkJSON.
var jsonFormat = huma.Format{
	Marshal:   marshal,
	Unmarshal: json.Unmarshal,
}

func humaConfig(cfg Config, schemas huma.Registry) huma.Config {
	tags := make([]*huma.Tag, len(cfg.Tags))
	for i, t := range cfg.Tags {
		tags[i] = &huma.Tag{Name: t.Name, Description: t.Description}
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: cfg.Title, Version: cfg.Version, Description: cfg.Description, Contact: &huma.Contact{Name: "Fixdesk"}},
			Servers: []*huma.Server{{URL: "/"}},
			Tags:    tags,
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					bearerScheme: {
						Type: "http", Scheme: "bearer", BearerFormat: "JWT",
						Description: "A token in the Authorization header (RFC 6750). Each operation names who may call it.",
					},
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": jsonFormat},
		DefaultFormat: "application/json",
	}
}

// strictAPI is huma without the parts that httpapi does itself: the Accept
// header was read and the body checked before huma sees the request.
type strictAPI struct{ huma.API }

// Negotiate is called for answers in JSON alone.
func (strictAPI) Negotiate(string) (string, error) { return "application/json", nil }

// Unmarshal is called with JSON alone.
func (strictAPI) Unmarshal(_ string, data []byte, v any) error { return json.Unmarshal(data, v) }

// Marshal writes JSON, whichever of its media types the header has.
func (strictAPI) Marshal(w io.Writer, _ string, v any) error { return jsonFormat.Marshal(w, v) }

// adapter puts the checks of this package between chi and huma.
type adapter struct{ api *API }

// Handle adds the route of op with its pipeline.
func (ad adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	p := newPipeline(ad.api, op)
	ad.api.operations[routeKey{op.Method, op.Path}] = p.details
	ad.api.router.MethodFunc(op.Method, op.Path, func(w http.ResponseWriter, r *http.Request) {
		ad.api.serve(w, r, p, func(r *http.Request) {
			a := answer{response: infoOf(r.Context()).response, body: newBuffer()}
			defer releaseBuffer(a.body)
			handler(humachi.NewContext(op, r, &a))
			a.send(r, p.details)
			infoOf(r.Context()).sendFirst(w)
		})
	})
}

// ServeHTTP serves the operations without logging and metrics.
func (ad adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { ad.api.router.ServeHTTP(w, r) }
