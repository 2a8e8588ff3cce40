package notice

import (
	"fmt"
	"html/template"
	"strings"
)

// mail is the content of a mail before it is laid out as text and as HTML. All of
// it has been cleaned by line or block.
type mail struct {
	Name    string // of the recipient in the greeting; empty for several people
	Lead    string
	Rows    []row
	Quotes  []quote
	Closing []string

	Passages    []passage
	Unsubscribe string // the address of the page, "" for none
	PublicURL   string // what begins the addresses that the HTML part links to
}

// row is a short fact with its name.
type row struct{ Label, Value string }

// quote is a text that a person wrote. Both parts of a mail mark it, so that it
// can't be mistaken for the service's text.
type quote struct{ Heading, Body string }

func (l mail) quoted(heading, body string) mail {
	if body = shorten(block(body), quoteLimit); body != "" {
		l.Quotes = append(l.Quotes, quote{heading, body})
	}
	return l
}

func (l mail) row(label, value string) mail {
	if value != "" {
		l.Rows = append(l.Rows, row{label, value})
	}
	return l
}

func (l mail) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", l.Greeting(), l.Lead)
	if len(l.Rows) > 0 {
		b.WriteString("\n")
	}
	for _, r := range l.Rows {
		fmt.Fprintf(&b, "%s: %s\n", r.Label, r.Value)
	}
	for _, p := range l.Passages {
		b.WriteString("\n" + p.text())
	}
	for _, q := range l.Quotes {
		fmt.Fprintf(&b, "\n%s:\n", q.Heading)
		for s := range strings.SplitSeq(q.Body, "\n") {
			b.WriteString(strings.TrimRight("> "+s, " ") + "\n")
		}
	}
	for _, s := range l.Closing {
		fmt.Fprintf(&b, "\n%s\n", s)
	}
	b.WriteString("\nFixdesk\n")
	if l.Unsubscribe != "" {
		fmt.Fprintf(&b, "\n%s: %s\n", stop, l.Unsubscribe)
	}
	return b.String()
}

// stop introduces the link for unsubscribing.
const stop = "To get no more mails of this kind"

// Stop is stop, for the HTML part.
func (mail) Stop() string { return stop }

// Greeting is the first line.
func (l mail) Greeting() string {
	if l.Name == "" {
		return "Hello,"
	}
	return "Hello " + l.Name + ","
}

// closingLine is a line of a closing, with the address at its end, "" for none.
type closingLine struct{ Words, Link string }

// Paragraphs splits a closing at its line breaks, for the HTML part.
func (l mail) Paragraphs() [][]closingLine {
	out := make([][]closingLine, len(l.Closing))
	for i, s := range l.Closing {
		for line := range strings.SplitSeq(s, "\n") {
			words, link := line, ""
			if at := strings.LastIndexByte(line, ' ') + 1; strings.HasPrefix(line[at:], l.PublicURL+"/") {
				words, link = line[:at], line[at:]
			}
			out[i] = append(out[i], closingLine{words, link})
		}
	}
	return out
}

func (l mail) html() string {
	var b strings.Builder
	if err := page.Execute(&b, l); err != nil {
		panic(fmt.Sprintf("the mail's template doesn't fit the mail: %v", err))
	}
	return b.String()
}

// page is the HTML of a mail. It loads nothing, since that would report when a
// mail is read.
var page = template.Must(template.New("mail").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"></head>
<body style="margin:0;padding:24px;background:#ffffff;color:#1f2933;font:16px/1.5 sans-serif">
<div style="max-width:600px">
<p style="margin:0 0 16px">{{.Greeting}}</p>
<p style="margin:0 0 16px">{{.Lead}}</p>
{{- if .Rows}}
<table style="margin:0 0 16px;border-collapse:collapse">
{{- range .Rows}}
<tr><th style="padding:2px 16px 2px 0;text-align:left;vertical-align:top;color:#52606d;font-weight:normal">{{.Label}}</th><td style="padding:2px 0;vertical-align:top">{{.Value}}</td></tr>
{{- end}}
</table>
{{- end}}
{{- range .Passages}}
<p style="margin:0 0 4px"><strong>{{.Heading}}</strong></p>
<p style="margin:0 0 16px;overflow-wrap:anywhere">{{range .Lines}}{{.}}<br>{{end}}<a href="{{.Link}}">{{.Link}}</a></p>
{{- end}}
{{- range .Quotes}}
<p style="margin:0 0 4px;color:#52606d">{{.Heading}}:</p>
<blockquote dir="auto" style="margin:0 0 16px;padding:4px 12px;border-left:3px solid #cbd2d9;white-space:pre-wrap;overflow-wrap:anywhere">{{.Body}}</blockquote>
{{- end}}
{{- range .Paragraphs}}
<p style="margin:0 0 16px;color:#52606d;overflow-wrap:anywhere">{{range $i, $_ := .}}{{if $i}}<br>{{end}}{{.Words}}{{if .Link}}<a href="{{.Link}}">{{.Link}}</a>{{end}}{{end}}</p>
{{- end}}
<p style="margin:0;color:#52606d">Fixdesk</p>
{{- if .Unsubscribe}}
<p style="margin:16px 0 0;color:#52606d;font-size:13px;overflow-wrap:anywhere"><a href="{{.Unsubscribe}}" style="color:#52606d">{{.Stop}}</a></p>
{{- end}}
</div>
</body>
</html>
`))
