package mailcatcher

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// maxDepth is the depth of nested parts below which parts are ignored.
const maxDepth = 8

// content is the text of a message, decoded.
type content struct {
	Headers map[string][]string `json:"headers"`
	Text    string              `json:"text"`
	HTML    string              `json:"html"`
}

// parse decodes a message. Parts that can't be decoded are omitted; the raw message
// has them.
func parse(raw []byte) content {
	c := content{Headers: map[string][]string{}}
	message, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return c
	}
	for name, values := range message.Header {
		for _, value := range values {
			c.Headers[name] = append(c.Headers[name], decodeHeader(value))
		}
	}
	c.addPart(textproto.MIMEHeader(message.Header), message.Body, maxDepth)
	return c
}

func (c *content) addPart(header textproto.MIMEHeader, body io.Reader, depth int) {
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain" // RFC 2045, section 5.2
	}
	if strings.HasPrefix(kind, "multipart/") {
		c.addParts(multipart.NewReader(body, parameters["boundary"]), depth)
		return
	}
	if disposition, _, _ := mime.ParseMediaType(header.Get("Content-Disposition")); disposition == "attachment" {
		return
	}
	switch kind {
	case "text/plain":
		c.Text += decodeBody(header, body, parameters["charset"])
	case "text/html":
		c.HTML += decodeBody(header, body, parameters["charset"])
	}
}

func (c *content) addParts(parts *multipart.Reader, depth int) {
	for depth > 0 {
		part, err := parts.NextRawPart()
		if err != nil {
			return
		}
		c.addPart(part.Header, part, depth-1)
	}
}

func decodeTransfer(header textproto.MIMEHeader, body io.Reader) io.Reader {
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	}
	return body
}

func decodeBody(header textproto.MIMEHeader, body io.Reader, charset string) string {
	text, _ := io.ReadAll(decodeCharset(charset, decodeTransfer(header, body))) // as far as it goes
	return strings.ReplaceAll(strings.ToValidUTF8(string(text), "\uFFFD"), "\r\n", "\n")
}

func decodeCharset(charset string, r io.Reader) io.Reader {
	if charset == "" {
		return r
	}
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return r
	}
	return encoding.NewDecoder().Reader(r)
}

func decodeHeader(value string) string {
	decoder := mime.WordDecoder{CharsetReader: func(charset string, input io.Reader) (io.Reader, error) {
		return decodeCharset(charset, input), nil
	}}
	decoded, err := decoder.DecodeHeader(value)
	if err != nil {
		return strings.ToValidUTF8(value, "\uFFFD")
	}
	return strings.ToValidUTF8(decoded, "\uFFFD")
}
