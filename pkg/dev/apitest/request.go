package apitest

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// request is one to be sent. invalid says why it must be refused; it is empty for
// one that may be accepted.
type request struct {
	op      *operation
	target  string // path and query
	header  map[string][]string
	body    string
	sent    bool // a body
	invalid string
}

// request generates a request for op: half of them are valid, half damaged.
func (g *generator) request(op *operation) *request {
	r := &request{op: op, header: map[string][]string{}}
	damage := -1
	if g.IntN(2) == 0 {
		damage = g.IntN(4)
	}
	query := url.Values{}
	path := op.path
	for _, p := range op.parameters {
		switch p.in {
		case "path":
			text := g.parameter(r, p, damage == 0)
			path = strings.ReplaceAll(path, "{"+p.name+"}", url.PathEscape(text))
		case "query":
			if p.required || g.IntN(4) == 0 || damage == 1 && g.IntN(2) == 0 {
				g.addQuery(query, p, g.parameter(r, p, damage == 1))
			}
		case "header":
			if p.required || g.IntN(2) == 0 {
				r.header[p.name] = []string{g.headerValue(p)}
			}
		}
	}
	if damage == 1 && g.IntN(4) == 0 {
		query.Add("unknown", g.canary)
		r.invalid = "an unknown query parameter"
	}
	r.target = path
	if len(query) > 0 {
		r.target += "?" + query.Encode()
	}
	g.addBody(r, damage == 2)
	if damage == 3 {
		g.oddHeaders(r)
	}
	return r
}

// addQuery adds a parameter, a list sometimes as a parameter for each of its items.
func (g *generator) addQuery(query url.Values, p parameter, text string) {
	if p.schema["type"] != "array" || g.IntN(2) == 0 {
		query.Add(p.name, text)
		return
	}
	for item := range strings.SplitSeq(text, ",") {
		query.Add(p.name, item)
	}
}

// parameter generates a value in path or query, and records whether the document
// excludes it.
func (g *generator) parameter(r *request, p parameter, damaged bool) string {
	if !damaged || g.IntN(3) == 0 {
		name := r.op.id + " " + p.name
		if g.known[name] == nil {
			name = p.name
		}
		return plain(g.value(name, p.schema))
	}
	list := append([]string{
		"\x00", "a\x00b", "\xff\xfe", "\xed\xa0\x80", g.canary, "-1", "0", "101", "1e400", "9223372036854775808", "1.5", "NaN", "true", "null", "2026-02-30T00:00:00Z",
		"294277-01-01T00:00:00Z", "infinity", "%00", "\r\nX: y", stretched(g.canary, 300), stretched(g.canary, 3000), "a,b", ",", "+1", "01", " 1", "1 ",
	}, odd...)
	text := list[g.IntN(len(list))]
	if (p.in == "path" || p.in == "query") && !p.allows(text) {
		r.invalid = p.in + " parameter " + p.name
	}
	return text
}

// allows reports whether a parameter's schema allows text.
func (p parameter) allows(text string) bool {
	value := any(text)
	switch p.schema["type"] {
	case "integer", "number":
		value = json.Number(text)
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return false
		}
	case "boolean":
		return text == "true" || text == "false"
	case "array":
		items := []any{}
		for item := range strings.SplitSeq(text, ",") {
			items = append(items, item)
		}
		value = items
	}
	return p.compiled.Validate(value) == nil
}

func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = plain(item)
		}
		return strings.Join(parts, ",")
	}
	return encode(v)
}

// headerValue generates a value that HTTP allows in a header.
func (g *generator) headerValue(p parameter) string {
	list := []string{
		`"1"`, `W/"1"`, "*", `"1", "2"`, `"`, "", " ", g.canary, strings.Repeat(g.canary, 20), "é", "a b", "0", "18446744073709551616",
	}
	text := list[g.IntN(len(list))]
	if g.IntN(2) == 0 {
		text = plain(g.value(p.name, p.schema))
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

func (g *generator) oddHeaders(r *request) {
	choices := []func(){
		func() {
			r.header["Accept"] = []string{"image/png"}
			r.unless(!r.op.answersAny(), "an Accept that can't be met")
		},
		func() { r.header["Accept"] = []string{"text/csv;q=0.5, application/json;q=0.4"} },
		func() { r.header["Accept"] = []string{g.canary} },
		func() {
			r.header["Content-Type"] = []string{"text/plain"}
			r.unless(r.sent, "a body of another media type")
		},
		func() {
			r.header["Content-Type"] = []string{"application/json; charset=latin1"}
			r.unless(r.sent, "another charset")
		},
		func() { r.header["Content-Encoding"] = []string{"gzip"}; r.unless(r.sent, "a compressed body") },
		func() { r.header["X-Request-Id"] = []string{strings.Repeat("x", 500)} },
		func() { r.header["X-Forwarded-For"] = []string{g.canary + ", 1.2.3.4"} },
		func() { r.header["User-Agent"] = []string{strings.Repeat("ü", 2000)} },
		func() { r.header["Origin"] = []string{"https://" + g.canary + ".example"} },
		func() { r.header["Range"] = []string{"bytes=0-1"} },
		func() { r.header["X-Http-Method-Override"] = []string{"DELETE"} },
	}
	choices[g.IntN(len(choices))]()
}

// unless records the reason for a refusal, if it applies.
func (r *request) unless(applies bool, reason string) {
	if applies {
		r.invalid = reason
	}
}

func (g *generator) addBody(r *request, damaged bool) {
	if r.op.body == nil {
		if damaged {
			r.body, r.sent, r.invalid = `{"`+g.canary+`":1}`+strings.Repeat(" ", 20), true, "a body where none is taken"
		}
		return
	}
	if !r.op.bodyRequired && g.IntN(3) == 0 {
		return
	}
	value := g.value("", r.op.body)
	r.sent = true
	r.header["Content-Type"] = []string{r.op.bodyMedia}
	if r.op.bodyMedia == multipartType {
		g.addMultipart(r, damaged)
		return
	}
	if r.op.bodyMedia == formType {
		g.addForm(r, value, damaged)
		return
	}
	if !damaged {
		r.body = encode(value)
		return
	}
	g.refused = false
	r.body = g.damage(encode(g.change(value)))
	switch parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(r.body)); {
	case r.body == "" && !r.op.bodyRequired:
	case g.refused:
		r.invalid = "a body that no parser should take"
	case err != nil:
		r.invalid = "a body that is no JSON"
	case r.op.bodySchema.Validate(parsed) != nil:
		r.invalid = "a body that is not as described"
	}
}

// addForm encodes an object of texts as a form. Damaged, a field is repeated or the
// body is JSON.
func (g *generator) addForm(r *request, value any, damaged bool) {
	form := url.Values{}
	fields, _ := value.([]member)
	for _, f := range fields {
		form.Add(f.name, plain(f.value))
	}
	switch {
	case damaged && len(fields) > 0 && g.IntN(2) == 0:
		form.Add(fields[0].name, g.canary)
		r.invalid = "a form that repeats a field"
	case damaged:
		r.header["Content-Type"], r.invalid = []string{jsonType}, "JSON instead of a form"
	}
	if r.body = form.Encode(); r.body == "" { // an empty body has no media type
		r.invalid = ""
	}
}

// change damages one part of the value.
func (g *generator) change(value any) any {
	fields, ok := value.([]member)
	if !ok || g.IntN(12) == 0 {
		return g.anything()
	}
	i := 0
	if len(fields) > 0 {
		i = g.IntN(len(fields))
	}
	switch n := g.IntN(8); {
	case n == 0 && len(fields) > 0:
		return append(append([]member{}, fields[:i]...), fields[i+1:]...)
	case n == 1:
		names := []string{"role", "status", "id", "assignee_id", "$schema", "version", "__proto__", "unknown", ""}
		return append(fields, member{names[g.IntN(len(names))], g.anything()})
	case n == 2 && len(fields) > 0:
		g.refused = true
		return append(fields, fields[i]) // twice
	case n == 3 && len(fields) > 0:
		fields[i].name = strings.ToUpper(fields[i].name)
	case len(fields) > 0:
		if items, ok := fields[i].value.([]any); ok && len(items) > 0 && g.IntN(2) == 0 {
			items[g.IntN(len(items))] = g.anything()
		} else {
			fields[i].value = g.anything()
		}
	}
	return fields
}

func (g *generator) anything() any {
	if g.IntN(2) == 0 {
		return g.wrong()
	}
	g.refused = true
	return refusedValues[g.IntN(len(refusedValues))]
}

// damage sometimes damages the whole body.
func (g *generator) damage(body string) string {
	switch g.IntN(40) {
	case 0:
		return ""
	case 1:
		return body[:len(body)/2]
	case 2:
		g.refused = true
		return body + body
	case 3:
		g.refused = true
		return "\ufeff" + body
	case 4:
		g.refused = true
		return body + "\x00"
	case 5:
		g.refused = true
		if g.IntN(5) == 0 { // seldom, since it is slow
			return `{"` + strings.Repeat("x", 1<<20) + `":1}`
		}
		return "[" + body
	case 6:
		return "  " + body + "\n"
	}
	return body
}
