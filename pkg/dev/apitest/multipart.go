package apitest

import (
	"strings"
)

// addMultipart makes a form with one part, named file. Damaged, it has another name, a
// second part or no end, or is JSON.
func (g *generator) addMultipart(r *request, damaged bool) {
	const boundary = "----generated"
	part := func(name string) string {
		names := []string{"printer.png", "../" + g.canary, "photo\u202egnp.exe", `C:\a.txt`, "", strings.Repeat("é", 200)}
		contents := []string{g.canary, "\x89PNG\r\n\x1a\n" + g.canary, "<svg onload=alert(1)>", "", strings.Repeat(g.canary, 5000)}
		return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"; filename=\"" +
			strings.ReplaceAll(names[g.IntN(len(names))], `\`, `\\`) + "\"\r\n\r\n" + contents[g.IntN(len(contents))] + "\r\n"
	}
	r.header["Content-Type"] = []string{multipartType + "; boundary=" + boundary}
	r.body = part("file") + "--" + boundary + "--\r\n"
	if !damaged {
		return
	}
	choices := []func(){
		func() { r.body = part("upload") + "--" + boundary + "--\r\n" },
		func() { r.body = part("file") + part("file") + "--" + boundary + "--\r\n" },
		func() { r.body = part("file") },
		func() { r.body = part("file")[:40] },
		func() { r.body = "--" + boundary + "--\r\n" },
		func() { r.body = "" },
		func() { r.body = strings.Repeat(g.canary, 5000) },
		func() { r.body, r.header["Content-Type"] = `{"file":"`+g.canary+`"}`, []string{jsonType} },
		func() { r.header["Content-Type"] = []string{multipartType} },
	}
	choices[g.IntN(len(choices))]()
	r.invalid = "a body that is no form with one file"
}
