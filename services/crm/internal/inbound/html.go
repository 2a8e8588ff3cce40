package inbound

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlText returns the text of an HTML mail as a mail program would write it as plain
// text: a quoted part has "> " before its lines, links have their target behind
// them, pictures their description. It reads any input, in time and memory
// proportional to its length.
func htmlText(source string) string {
	w := walker{}
	z := html.NewTokenizer(strings.NewReader(source))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return w.text()
		case html.TextToken:
			if w.skipping == 0 {
				w.write(string(z.Text()))
			}
		case html.StartTagToken:
			w.open(z.Token(), false)
		case html.SelfClosingTagToken:
			w.open(z.Token(), true)
		case html.EndTagToken:
			w.close(z.Token().DataAtom)
		}
	}
}

// walker writes the lines of an HTML document.
type walker struct {
	lines    []string
	line     strings.Builder
	quote    int    // depth of quoted parts
	quotes   []bool // of each open blockquote: whether it is a quoted part
	pre      int
	skipping int // depth of elements whose text is not shown
	href     string
	linked   int  // length of line where the link began
	space    bool // white space is due before the next word
}

// maxQuote is the depth from which deeper quotes look the same.
const maxQuote = 5

var (
	skipped = []atom.Atom{atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Object, atom.Svg, atom.Math}
	// paragraphs have an empty line around them, blocks a line of their own.
	paragraphs = []atom.Atom{atom.P, atom.Blockquote, atom.Ul, atom.Ol, atom.Table, atom.Pre, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6}
	blocks     = []atom.Atom{
		atom.Div, atom.Li, atom.Tr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Dl, atom.Dt, atom.Dd,
		atom.Center, atom.Form, atom.Fieldset, atom.Figure, atom.Figcaption, atom.Hr, atom.Body, atom.Main, atom.Caption,
	}
)

func (w *walker) open(t html.Token, closed bool) {
	if slices.Contains(skipped, t.DataAtom) {
		if !closed {
			w.skipping++
		}
		return
	}
	if t.DataAtom == atom.Body {
		w.skipping = 0 // a head that was not closed
	}
	if w.skipping > 0 {
		return
	}
	w.separate(t.DataAtom)
	switch t.DataAtom {
	case atom.Br:
		w.breakLine()
	case atom.Hr:
		w.write("________________________________")
		w.breakLine()
	case atom.Li:
		w.write("- ")
	case atom.Td, atom.Th:
		if w.line.Len() > 0 {
			w.space = false
			w.line.WriteByte('\t')
		}
	case atom.Pre:
		w.pre++
	case atom.Img:
		if alt := strings.TrimSpace(attribute(t, "alt")); alt != "" {
			w.write("[" + alt + "]")
		}
	case atom.A:
		w.href, w.linked = attribute(t, "href"), w.line.Len()
	case atom.Blockquote:
		w.openQuote(t)
	}
}

// openQuote begins a quoted part. A blockquote without the marks of mail programs is
// text that its author indented.
func (w *walker) openQuote(t html.Token) {
	class := strings.ToLower(attribute(t, "class"))
	quoted := strings.EqualFold(attribute(t, "type"), "cite") || strings.Contains(class, "quote") || strings.Contains(class, "cite")
	w.quotes = append(w.quotes, quoted)
	if quoted {
		w.quote++
	}
}

func (w *walker) close(name atom.Atom) {
	if slices.Contains(skipped, name) {
		w.skipping = max(0, w.skipping-1)
		return
	}
	if w.skipping > 0 {
		return
	}
	switch name {
	case atom.A:
		w.target()
	case atom.Pre:
		w.pre = max(0, w.pre-1)
	case atom.Blockquote:
		w.flush()
		if n := len(w.lines); n > 0 && w.quote > 0 && strings.Trim(w.lines[n-1], "> ") == "" {
			w.lines = w.lines[:n-1] // below the last paragraph of the quote
		}
		if n := len(w.quotes); n > 0 {
			if w.quotes[n-1] {
				w.quote--
			}
			w.quotes = w.quotes[:n-1]
		}
	}
	w.separate(name)
}

// target writes where a link leads, unless its text says so.
func (w *walker) target() {
	href := strings.TrimSpace(w.href)
	w.href = ""
	if !strings.HasPrefix(href, "http://") && !strings.HasPrefix(href, "https://") || w.linked > w.line.Len() {
		return
	}
	label := strings.TrimSpace(w.line.String()[w.linked:])
	if label != "" && !strings.Contains(href, label) {
		w.write(" <" + href + ">")
	}
}

// separate ends the line before and after a block, and adds an empty one for a
// paragraph.
func (w *walker) separate(name atom.Atom) {
	paragraph := slices.Contains(paragraphs, name)
	if !paragraph && !slices.Contains(blocks, name) {
		return
	}
	w.flush()
	if n := len(w.lines); paragraph && n > 0 && strings.Trim(w.lines[n-1], "> ") != "" {
		w.lines = append(w.lines, w.marks())
	}
}

func (w *walker) write(s string) {
	if w.pre > 0 {
		for i, l := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
			if i > 0 {
				w.breakLine()
			}
			w.line.WriteString(l)
		}
		return
	}
	const blanks = " \t\r\n\f"
	words := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(blanks, r) })
	if s != "" && strings.ContainsRune(blanks, rune(s[0])) {
		w.space = true
	}
	for i, word := range words {
		if (w.space || i > 0) && w.line.Len() > 0 {
			w.line.WriteByte(' ')
		}
		w.line.WriteString(word)
		w.space = false
	}
	if len(words) > 0 && strings.ContainsRune(blanks, rune(s[len(s)-1])) {
		w.space = true
	}
}

func (w *walker) marks() string {
	return strings.TrimRight(strings.Repeat("> ", min(w.quote, maxQuote)), " ")
}

// breakLine ends the line, also an empty one.
func (w *walker) breakLine() {
	text := strings.TrimRight(strings.ReplaceAll(w.line.String(), "\u00a0", " "), " \t")
	if marks := w.marks(); marks != "" {
		text = strings.TrimRight(marks+" "+text, " ")
	}
	w.lines = append(w.lines, text)
	w.line.Reset()
	w.space, w.linked = false, 0
}

// flush ends a line that has text.
func (w *walker) flush() {
	if strings.Trim(w.line.String(), " \t\u00a0") != "" {
		w.breakLine()
	}
	w.line.Reset()
	w.space, w.linked = false, 0
}

func (w *walker) text() string {
	w.flush()
	var out []string
	empty := 0
	for _, l := range w.lines {
		if l == "" {
			empty++
		} else {
			empty = 0
		}
		if empty <= 2 {
			out = append(out, l)
		}
	}
	return strings.Trim(strings.Join(out, "\n"), "\n")
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
