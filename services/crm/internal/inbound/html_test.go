package inbound

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHTMLBecomesText(t *testing.T) {
	for name, c := range map[string]struct{ source, want string }{
		"paragraphs":          {"<p>One</p><p>Two\n  three</p>", "One\n\nTwo three"},
		"divs":                {"<div>One</div><div><br></div><div>Two</div>", "One\n\nTwo"},
		"breaks":              {"One<br>Two<br/>Three", "One\nTwo\nThree"},
		"entities":            {"a &lt;b&gt; &amp; &uuml;&nbsp;c", "a <b> & ü c"},
		"inline":              {"<b>very</b> <i>loud</i>, o<u>n</u>e", "very loud, one"},
		"list":                {"<ul><li>one</li><li>two</li></ul>after", "- one\n- two\n\nafter"},
		"table":               {"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a\tb\nc\td"},
		"link":                {`<a href="https://example.com/x">the page</a> and <a href="https://example.com">example.com</a>`, "the page <https://example.com/x> and example.com"},
		"mail link":           {`<a href="mailto:ada@example.com">Ada</a> <a href="javascript:alert(1)">x</a>`, "Ada x"},
		"picture":             {`<img src="cid:1" alt="The printer"><img src="https://track.example/x.gif" alt="">`, "[The printer]"},
		"no script, no style": {"<html><head><title>T</title><style>p{}</style></head><body><script>alert(1)</script>Text</body></html>", "Text"},
		"head not closed":     {"<head><style>p{}</style><body>Text", "Text"},
		"pre":                 {"<pre>a\n  b\n\nc</pre>", "a\n  b\n\nc"},
		"comment":             {"a<!-- not this -->b", "ab"},
		"outlook":             {`<p class=MsoNormal>Hello<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal>Bye</p>`, "Hello\n\nBye"},
		"gmail quote": {`<div dir="ltr">Answer</div><br><div class="gmail_quote"><div class="gmail_attr">On Mon, 12 Jan 2026 at 10:30, Fixdesk &lt;<a href="mailto:fixdesk@fixdesk.test">fixdesk@fixdesk.test</a>&gt; wrote:<br></div><blockquote class="gmail_quote" style="x"><p>Hello</p><p>Ada</p></blockquote></div>`,
			"Answer\n\nOn Mon, 12 Jan 2026 at 10:30, Fixdesk <fixdesk@fixdesk.test> wrote:\n\n> Hello\n>\n> Ada"},
		"apple quote":   {`Answer<br><div><blockquote type="cite">On 12 Jan<br>text</blockquote></div>`, "Answer\n\n> On 12 Jan\n> text"},
		"own indent":    {`See:<blockquote style="margin:0 0 0 40px">my indented text</blockquote>end`, "See:\n\nmy indented text\n\nend"},
		"nested quotes": {`<blockquote type="cite">a<blockquote type="cite">b</blockquote>c</blockquote>d`, "> a\n>\n> > b\n>\n> c\n\nd"},
		"broken":        {"</p></blockquote><p>a</div></blockquote><b", "a"},
		"empty":         {"", ""},
	} {
		if got := htmlText(c.source); got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, c.want)
		}
	}
}

func TestAnswersInHTMLAreCut(t *testing.T) {
	for name, source := range map[string]string{
		"gmail":   `<div dir="ltr">It works.</div><br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">On Mon, 12 Jan 2026 at 10:30, Fixdesk &lt;<a href="mailto:fixdesk@fixdesk.test">fixdesk@fixdesk.test</a>&gt; wrote:<br></div><blockquote class="gmail_quote" style="margin:0"><p>Hello Ada,</p></blockquote></div>`,
		"outlook": `<div class=WordSection1><p class=MsoNormal>It works.<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt'><p class=MsoNormal><b>From:</b> Fixdesk &lt;fixdesk@fixdesk.test&gt; <br><b>Sent:</b> Monday, January 12, 2026 10:30 AM<br><b>To:</b> Ada<br><b>Subject:</b> [Fixdesk #42] Printer<o:p></o:p></p></div></div><p class=MsoNormal>Hello Ada,</p></div>`,
		"apple":   `<html><body>It works.<div><br></div><div>Sent from my iPhone</div><div><br><blockquote type="cite">On 12 Jan 2026, at 10:30, Fixdesk &lt;fixdesk@fixdesk.test&gt; wrote:<br><br></blockquote></div><blockquote type="cite"><div>Hello Ada,</div></blockquote></body></html>`,
		"owa":     `<div>It works.</div><hr style="width:98%"><div id="divRplyFwdMsg"><b>Von:</b> Fixdesk &lt;fixdesk@fixdesk.test&gt;<br><b>Gesendet:</b> Montag, 12. Januar 2026 10:30<br><b>An:</b> Ada<br><b>Betreff:</b> [Fixdesk #42] Printer</div><div><p>Hello Ada,</p></div>`,
	} {
		if got := cutReply(htmlText(source), testOurs); got != "It works." {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestDeeplyNestedHTMLIsReadInItsLength(t *testing.T) {
	const deep = 100_000
	got := htmlText(strings.Repeat("<blockquote type=cite><div>", deep) + "x" + strings.Repeat("</div></blockquote>", deep))
	if !strings.Contains(got, "x") || len(got) > 100 {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzHTMLText(f *testing.F) {
	f.Add("<p>a<blockquote type=cite>b<a href='https://x'>c</a><pre>d\n</pre><img alt=e><li>f")
	f.Fuzz(func(t *testing.T, source string) {
		if got := htmlText(source); utf8.ValidString(source) && !utf8.ValidString(got) {
			t.Error("a character was cut")
		}
	})
}

func TestSubjectsLoseTheirPrefixes(t *testing.T) {
	for in, want := range map[string]subject{
		"Printer":                          {title: "Printer"},
		"Re: [Fixdesk #42] Printer":        {title: "Printer", tagged: true},
		"RE: AW: Antw: SV: Printer":        {title: "Printer"},
		"Re[2]: Printer":                   {title: "Printer"},
		"回复：打印机":                           {title: "打印机"},
		"Отв: Принтер":                     {title: "Принтер"},
		"Fwd: Re: Printer":                 {title: "Printer", forwarded: true},
		"Re: Fwd: Printer":                 {title: "Printer"},
		"WG: Drucker":                      {title: "Drucker", forwarded: true},
		"TR : Imprimante":                  {title: "Imprimante", forwarded: true},
		"転送: プリンター":                        {title: "プリンター", forwarded: true},
		"Question: how?":                   {title: "Question: how?"},
		"Re:":                              {},
		"":                                 {},
		"a\r\nBcc: x@y.test\x00\u202eevil": {title: "a Bcc: x@y.test evil"},
		"Re: AW: [Fixdesk #7] Re: [Fixdesk #8] x": {title: "x", tagged: true},
	} {
		if got := parseSubject(in); got != want {
			t.Errorf("%q is %+v, want %+v", in, got, want)
		}
	}
}
