package inbound

import (
	"net/mail"
	"regexp"
	"strings"

	"fixdesk/pkg/notifyapi"
)

// looseAddress is what looks like an address in a header that breaks the syntax of
// RFC 5322.
var looseAddress = regexp.MustCompile(`[^\s<>,;:"()\[\]@]+@[^\s<>,;:"()\[\]@]+`)

const maxAddress = 320 // characters: 64 + @ + 255

// addressList reads the addresses of a header, with their names decoded. Where it
// is not well formed, it has what looks like addresses, without names.
func addressList(value string) []notifyapi.MailAddress {
	list := []notifyapi.MailAddress{}
	add := func(name, address string) {
		if address = clean(address); len(address) <= maxAddress && len(list) < maxAddresses {
			list = append(list, notifyapi.MailAddress{Name: oneLine(decodeWords(name)), Email: address})
		}
	}
	value = toUTF8([]byte(value), "")
	if parsed, err := parseAddresses(value); err == nil {
		for _, a := range parsed {
			add(a.Name, a.Address)
		}
		return list
	}
	for _, part := range splitAddresses(value) {
		if parsed, err := parseAddresses(part); err == nil {
			for _, a := range parsed {
				add(a.Name, a.Address)
			}
			continue
		}
		at := looseAddress.FindAllStringIndex(part, -1)
		if len(at) == 0 {
			continue
		}
		last := at[len(at)-1] // the name may hold another
		name := strings.Trim(part[:last[0]], " \t\"'<")
		add(name, part[last[0]:last[1]])
	}
	return list
}

// wordMark replaces the question mark at which encoded words begin while addresses
// are parsed, since decodeWords does better than net/mail.
const wordMark = "\uE000"

func parseAddresses(value string) ([]*mail.Address, error) {
	value = strings.ReplaceAll(strings.ReplaceAll(value, wordMark, ""), "=?", "="+wordMark)
	list, err := mail.ParseAddressList(value)
	for _, a := range list {
		a.Name = strings.ReplaceAll(a.Name, "="+wordMark, "=?")
		a.Address = strings.ReplaceAll(a.Address, "="+wordMark, "=?")
	}
	return list, err
}

// splitAddresses cuts at commas and semicolons outside of quotes and brackets.
func splitAddresses(value string) []string {
	var parts []string
	quoted, depth, start := false, 0, 0
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			depth = 1
		case c == '>':
			depth = 0
		case (c == ',' || c == ';') && depth == 0:
			parts = append(parts, value[start:i])
			start = i + 1
		}
	}
	return append(parts, value[start:])
}

// messageIDs reads the ids of a header, without angle brackets.
func messageIDs(value string) []string {
	ids := []string{}
	for value != "" && len(ids) < maxReferences {
		start := strings.IndexByte(value, '<')
		if start < 0 {
			break
		}
		end := strings.IndexByte(value[start:], '>')
		if end < 0 {
			break
		}
		if id := clean(strings.TrimSpace(value[start+1 : start+end])); id != "" && len(id) <= maxLine {
			ids = append(ids, id)
		}
		value = value[start+end+1:]
	}
	if len(ids) == 0 { // some programs leave the brackets out
		for _, word := range strings.Fields(value) {
			if strings.Contains(word, "@") && len(word) <= maxLine && len(ids) < maxReferences {
				ids = append(ids, clean(strings.Trim(word, "<>,;")))
			}
		}
	}
	return ids
}

// oneLine is text without control characters and repeated spaces, at most maxLine
// bytes.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)), " ")
	return cut(text, maxLine)
}

// cut is the longest beginning of text of at most max bytes that cuts no character.
func cut(text string, max int) string {
	if len(text) <= max {
		return text
	}
	return strings.ToValidUTF8(text[:max], "")
}
